package mcs

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// applyKinds is what the hint says, typed in the checkout.
const applyKinds = "kubectl apply --server-side -f charts/eastway/crds"

// away takes a CRD away, until it is brought back as check says.
func (s *spec) away(c *cluster, kind string) (bringBack func() error) {
	s.Helper()
	folder := filepath.Join("..", "..", "charts", "eastway", "crds")
	bringBack = func() error {
		command := c.Kubectl(context.WithoutCancel(s.Context()), "apply", "--server-side", "-f", folder)
		if out, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	s.Cleanup(func() {
		if !s.Failed() {
			return
		}
		if err := bringBack(); err != nil {
			s.Error(err)
		}
	})
	_, err := s.kubectl(s.Context(), c, "", "delete", "crd", kind)
	s.must(err)
	return bringBack
}

// policiesAway: only what policies say is gone with their CRD, and it works again when that is back.
func policiesAway(s *spec) {
	end := s.throughout()
	bringBack := s.away(s.first, "trafficpolicies.eastway.dev")
	s.fails(s.first, "CRDs of Eastway", "trafficpolicies", applyKinds)
	s.newExport()
	s.must(bringBack())
	s.accepted(s.first, v1alpha1.TargetRef{Kind: v1alpha1.KindService, Name: s.service}) // of the second cluster
	s.heals(s.first, "errors", "trafficpolicies")
	end()
}

// accepted wants the controller to accept a policy for that.
func (s *spec) accepted(c *cluster, target v1alpha1.TargetRef) {
	s.Helper()
	policy := &v1alpha1.TrafficPolicy{ObjectMeta: s.meta(), Spec: v1alpha1.TrafficPolicySpec{TargetRef: target}}
	s.await("a TrafficPolicy to be taken", func(ctx context.Context) error { return client.IgnoreAlreadyExists(c.Create(ctx, policy.DeepCopy())) })
	s.await("a TrafficPolicy to be accepted", func(ctx context.Context) error {
		var found v1alpha1.TrafficPolicy
		if err := c.Get(ctx, s.key(), &found); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(found.Status.Conditions, v1alpha1.PolicyAccepted) {
			return fmt.Errorf("%+v", found.Status)
		}
		return nil
	})
	s.must(c.Delete(s.Context(), policy))
}

// importsAway: with their CRD the names of imports are gone, but not their addresses, and they come back as they were.
func importsAway(s *spec) {
	s.first.imports.end()
	s.create(s.second, withoutAffinity)
	s.export(s.second)
	was := s.imported(s.first, exportedBy(s.second), hasIPs)
	end := s.calling(s.first, was.Spec.IPs[0]+":"+strconv.Itoa(helloPort), from(s.second))
	s.Cleanup(end)
	bringBack := s.away(s.first, "serviceimports.multicluster.x-k8s.io")
	s.fails(s.first, "CRDs of the MCS API", "serviceimports", applyKinds)
	s.must(bringBack())
	is := s.imported(s.first, exportedBy(s.second), hasIPs)
	s.must(same("IPs", is.Spec.IPs, was.Spec.IPs))
	s.must(same("made anew", is.UID != was.UID, true))
	s.calls(s.first, manyCalls, s.address(helloPort), from(s.second))
	s.newExport()
	s.heals(s.first, "errors", "serviceimports")
	end()
}
