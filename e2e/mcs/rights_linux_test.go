package mcs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/e2e/install"
)

// saveTime is what proxies need at most to save what they know, on a busy computer: they do so every two seconds.
const saveTime = 5 * time.Second

// without a right to a resource, for a ClusterRole, until it is given back.
func (s *spec) without(c *cluster, role, resource string) (giveBack func() error) {
	s.Helper()
	key := client.ObjectKey{Name: role}
	change := func(ctx context.Context, rules func([]rbacv1.PolicyRule) []rbacv1.PolicyRule) error {
		var found rbacv1.ClusterRole
		if err := c.Get(ctx, key, &found); err != nil {
			return err
		}
		found.Rules = rules(found.Rules)
		return c.Update(ctx, &found)
	}
	var whole []rbacv1.PolicyRule
	s.must(change(s.Context(), func(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
		whole = slices.Clone(rules)
		return slices.DeleteFunc(rules, func(r rbacv1.PolicyRule) bool { return slices.Contains(r.Resources, resource) })
	}))
	giveBack = func() error {
		return change(context.WithoutCancel(s.Context()), func([]rbacv1.PolicyRule) []rbacv1.PolicyRule { return whole })
	}
	s.Cleanup(func() {
		if err := giveBack(); err != nil {
			s.Error(err)
		}
	})
	return giveBack
}

func ready(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// proxy that is the one wanted.
func (s *spec) proxy(c *cluster, what string, wanted func(*corev1.Pod) error) (found corev1.Pod) {
	s.Helper()
	s.await("a proxy of "+c.Name+" that "+what, func(ctx context.Context) error {
		pods, err := install.Pods(ctx, c.Client, "proxy")
		errs := []error{err}
		for i := range pods {
			if err := wanted(&pods[i]); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", pods[i].Name, err))
				continue
			}
			found = pods[i]
			return nil
		}
		return errors.Join(append(errs, fmt.Errorf("none of %d", len(pods)))...)
	})
	return found
}

func restarts(p *corev1.Pod) (n int32) {
	for i := range p.Status.ContainerStatuses {
		n += p.Status.ContainerStatuses[i].RestartCount
	}
	return n
}

// logged returns when the pod's log has all of these words in a line.
func (s *spec) logged(c *cluster, pod string, words ...string) {
	s.Helper()
	s.await("the log of "+pod, func(ctx context.Context) error {
		out, err := s.kubectl(ctx, c, "", "-n", install.Namespace, "logs", pod)
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
				return nil
			}
		}
		return fmt.Errorf("no line with all of %q in %.4000s", words, out)
	})
}

// proxiesRights: who knows the endpoints goes on, also after a restart; who knows nothing is not ready and says why.
func proxiesRights(s *spec) {
	s.create(s.first, withoutAffinity)
	s.export(s.first)
	s.calls(s.second, manyCalls, s.address(helloPort), from(s.first))
	s.until(time.Now().Add(saveTime))
	before := s.proxy(s.first, "is ready", func(p *corev1.Pod) error { return same("ready", ready(p), true) })
	giveBack := s.without(s.first, "eastway-proxy", "endpointslices")
	missing := []string{"proxies", "list/watch endpointslices.discovery.k8s.io", "eastway-proxy"}
	s.fails(s.first, "rights", missing...)

	s.must(s.first.SignalContainer(s.Context(), install.Namespace, before.Name, "proxy", syscall.SIGKILL))
	s.proxy(s.first, "was restarted", func(p *corev1.Pod) error {
		return errors.Join(same("name", p.Name, before.Name), same("ready", ready(p), true), same("restarts", restarts(p), restarts(&before)+1))
	})
	refused := []string{"EndpointSlice", "does not allow to list endpointslices.discovery.k8s.io", "ClusterRole"}
	s.logged(s.first, before.Name, refused...)
	s.must(s.AwaitConnected(s.Context()))
	end := s.calling(s.second, s.address(helloPort), from(s.first)) // that one answers from what it remembers
	s.Cleanup(end)

	old, err := install.Pods(s.Context(), s.first.Client, "proxy")
	s.must(err)
	s.must(s.first.Delete(s.Context(), &before))
	after := s.proxy(s.first, "is new", func(p *corev1.Pod) error {
		known := slices.ContainsFunc(old, func(o corev1.Pod) bool { return o.UID == p.UID })
		return errors.Join(same("known before", known, false), same("phase", p.Status.Phase, corev1.PodRunning))
	})
	s.logged(s.first, after.Name, refused...)
	s.must(s.first.Get(s.Context(), client.ObjectKeyFromObject(&after), &after))
	s.must(same("ready without a word about endpoints", ready(&after), false))
	s.fails(s.first, "rights", missing...)

	s.must(giveBack())
	s.proxy(s.first, "has what it needs", func(p *corev1.Pod) error {
		return errors.Join(same("name", p.Name, after.Name), same("ready", ready(p), true), same("restarts", restarts(p), int32(0)))
	})
	s.must(s.AwaitConnected(s.Context()))
	end()
	s.heals(s.first, "rights", "")
}

// othersRights: check looks at those of the controller and of the node agents, too.
func othersRights(s *spec) {
	for role, c := range map[string]struct{ resource, who, right string }{
		"eastway-controller": {"serviceimports", "the controller", "list/watch/create/patch/delete serviceimports.multicluster.x-k8s.io"},
		"eastway-node":       {"nodes", "node agents", "get nodes"},
	} {
		giveBack := s.without(s.first, role, c.resource)
		s.fails(s.first, "rights", c.who, c.right, role)
		s.must(giveBack())
	}
	s.heals(s.first, "rights", "")
}
