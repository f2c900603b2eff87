package mcs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1alpha1 "sigs.k8s.io/mcs-api/pkg/apis/v1alpha1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/cluster/lab"
	"github.com/eastway/eastway/internal/need"
)

const (
	// failed begins a line of the pod's program about what failed.
	failed = "error: "
	// manyCalls in a row show that it is so: chance would have it otherwise once in a million times.
	manyCalls = 20
)

// calls an address so many times in a row, until all calls of a row have been answered: some proxies learn of an export later
// than others. The answers must be right from the first one on.
func (s *spec) calls(c *cluster, n int, address string, right func(answer string) bool) (answers []string) {
	s.Helper()
	s.await(c.Name+" to call "+address, func(ctx context.Context) (err error) {
		if answers, err = s.run(ctx, c, "call", "-n", strconv.Itoa(n), address); err != nil {
			return err
		}
		for i, answer := range answers {
			switch {
			case strings.HasPrefix(answer, failed):
				err = fmt.Errorf("call %d: %s", i+1, answer)
			case !right(answer):
				s.Errorf("%s: %s was answered by %q", c.Name, address, answer)
			}
		}
		return err
	})
	return answers
}

// from says whether a pod of the cluster has answered.
func from(c *cluster) func(answer string) bool {
	return func(answer string) bool { return strings.HasPrefix(answer, c.Name+" ") }
}

// onlyFrom checks that an address is answered by this cluster's pods alone, for every caller.
func (s *spec) onlyFrom(source *cluster, address string) {
	s.Helper()
	for _, c := range s.both() {
		s.calls(c, manyCalls, address, from(source))
	}
}

func reachable(s *spec) {
	s.create(s.first)
	s.export(s.first)
	s.onlyFrom(s.first, s.address(helloPort))
}

// exportedByOne: the second cluster has a Service of that name, too.
func exportedByOne(s *spec) {
	s.create(s.first, withoutAffinity)
	s.create(s.second, withoutAffinity)
	s.export(s.first)
	s.onlyFrom(s.first, s.address(helloPort))
}

const otherPort = helloPort + 1

// portOfSecond is the only one that the second cluster has.
func portOfSecond(name string) func(*corev1.Service) {
	return func(service *corev1.Service) {
		service.Spec.Ports = []corev1.ServicePort{
			{Name: name, Port: otherPort, Protocol: corev1.ProtocolTCP, TargetPort: intstr.FromInt32(helloPort)},
		}
	}
}

func samePortName(s *spec) {
	s.twice(portOfSecond("tcp"))
	s.everywhere(exportedBy(s.first, s.second))
	s.onlyFrom(s.first, s.address(helloPort))
}

func otherPortName(s *spec) {
	s.twice(portOfSecond("tcp2"))
	s.everywhere(exportedBy(s.first, s.second))
	s.onlyFrom(s.first, s.address(helloPort))
	s.onlyFrom(s.second, s.address(otherPort))
}

// affinityWorks: all calls of one client reach the same pod in the other cluster; without affinity they reach several.
func affinityWorks(s *spec) {
	pods := func(changes ...func(*corev1.Service)) int {
		one := s.spec(s.T)
		one.create(s.first, changes...)
		one.export(s.first)
		answers := one.calls(s.second, manyCalls, one.address(helloPort), from(s.first))
		slices.Sort(answers)
		return len(slices.Compact(answers))
	}
	if n := pods(); n != 1 {
		s.Errorf("with affinity %d pods answered one client", n)
	}
	if n := pods(withoutAffinity); n < 2 {
		s.Errorf("without affinity %d of %d pods answered", n, replicas)
	}
}

// datagramRefused: a port that is not TCP is listed, and is refused at once.
func datagramRefused(s *spec) {
	service := s.create(s.first)
	s.export(s.first)
	s.everywhere(hasPorts(service.Spec.Ports...))
	for _, c := range s.both() {
		s.calls(c, 1, s.address(helloPort), from(s.first)) // from now on the address is known to all nodes
		s.prints(c, func(lines []string) error {
			if !strings.HasPrefix(lines[0], failed) || !strings.Contains(lines[0], "connection refused") {
				return errors.New("not refused")
			}
			return nil
		}, "call", "-udp", s.address(helloPort))
	}
}

// peerAway: a cluster that cannot be reached still exports what it did.
func peerAway(s *spec) {
	if s.lab.Users() {
		need.Missing(s.T, "unset "+lab.UserVariable+": only clusters of the test's own can be cut off")
	}
	s.create(s.first)
	s.export(s.first)
	s.everywhere(exportedBy(s.first))
	connected := func(want bool) func(context.Context) error {
		return func(ctx context.Context) error {
			var peer v1alpha1.Peer
			if err := s.second.Get(ctx, client.ObjectKey{Name: s.first.Name}, &peer); err != nil {
				return err
			}
			is := !meta.IsStatusConditionFalse(peer.Status.Conditions, v1alpha1.PeerConnected)
			return same("connected", is, want)
		}
	}
	s.must(s.first.SetReach(s.Context(), lab.Silent))
	s.Cleanup(func() {
		if err := s.first.SetReach(context.WithoutCancel(s.Context()), lab.Public); err != nil {
			s.Error(err)
		}
	})
	s.await("the first cluster to be away", connected(false))
	other := s.spec(s.T) // whatever the loss of a peer does to imports, it has done when this one is there
	other.create(s.second)
	other.export(s.second)
	other.imported(s.second, exportedBy(s.second))
	s.imported(s.second, exportedBy(s.first))
	s.must(s.first.SetReach(s.Context(), lab.Public))
	s.await("the first cluster to be back", connected(true))
	other.imported(s.first, exportedBy(s.second))
	for _, c := range s.both() {
		for _, event := range c.imports.of(s.service) {
			if event.Type == watch.Deleted || len(event.Object.(*mcsv1alpha1.ServiceImport).Spec.IPs) == 0 {
				s.Errorf("%s: the import was %s: %+v", c.Name, event.Type, event.Object)
			}
		}
	}
}
