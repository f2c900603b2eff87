package mcs

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/e2e/install"
)

// caReplaced: a cluster gets another CA, in the steps of the chart's README, while the other cluster calls it.
func caReplaced(s *spec) {
	c := s.second
	end := s.throughout()
	old := s.caSecret(c)
	was, err := certs.ParseCA(certs.SecretOf(old.Data), certs.Options{})
	s.must(err)
	ca, err := certs.NewCA(certs.Options{TrustDomain: was.TrustDomain()})
	s.must(err)
	next, err := ca.Secret()
	s.must(err)
	of := certs.SecretOf(old.Data)
	both := append(append([]byte{}, of.Roots...), next.Roots...)

	s.setCA(c, certs.Secret{Cert: of.Cert, Key: of.Key, Roots: both}, 2)
	s.warns(c, "CA", "peer "+s.first.Name+" was linked without 1 root", "eastway peer link")
	s.must(s.Link(s.Context()))
	s.heals(c, "CA", "")
	s.trusts(s.first, c, 2)

	s.setCA(c, certs.Secret{Cert: next.Cert, Key: next.Key, Roots: both}, 2)
	s.await("a certificate of the new CA", func(ctx context.Context) error {
		var secret corev1.Secret
		if err := c.Get(ctx, client.ObjectKey{Namespace: install.Namespace, Name: "eastway-svid"}, &secret); err != nil {
			return err
		}
		svid, _, err := certs.ParseSVID(c.Name, certs.SecretOf(secret.Data))
		if err != nil {
			return err
		}
		return ca.Check(svid)
	})
	for _, args := range [][]string{{"restart"}, {"status", "--timeout=3m"}} {
		args = append([]string{"--namespace", install.Namespace, "rollout", args[0], "deployment/eastway-proxy"}, args[1:]...)
		_, err = s.kubectl(s.Context(), c, "", args...)
		s.must(err)
	}

	s.setCA(c, certs.Secret{Cert: next.Cert, Key: next.Key, Roots: next.Roots}, 1)
	s.must(s.Link(s.Context()))
	s.trusts(s.first, c, 1)
	s.calls(s.first, manyCalls, s.address(helloPort), from(c))
	end()
	s.heals(c, "identity", "")
}

func (s *spec) caSecret(c *cluster) *corev1.Secret {
	s.Helper()
	var secret corev1.Secret
	s.must(c.Get(s.Context(), client.ObjectKey{Namespace: install.Namespace, Name: "eastway-ca"}, &secret))
	return &secret
}

// setCA returns when the cluster tells its peers so many roots.
func (s *spec) setCA(c *cluster, content certs.Secret, roots int) {
	s.Helper()
	secret := s.caSecret(c)
	secret.Data = content.Data()
	s.must(c.Update(s.Context(), secret))
	// The Secret is not watched, but looked at twice a minute, and whenever a tunnel Service changes.
	_, err := s.kubectl(s.Context(), c, "", "--namespace", install.Namespace, "annotate", "--overwrite", "service", "eastway-tunnel",
		"eastway.test/looked="+time.Now().Format(time.RFC3339Nano))
	s.must(err)
	s.await(fmt.Sprintf("%s to publish %d roots", c.Name, roots), func(ctx context.Context) error {
		var published corev1.ConfigMap
		if err := c.Get(ctx, client.ObjectKey{Namespace: install.Namespace, Name: "eastway-cluster"}, &published); err != nil {
			return err
		}
		return same("roots", strings.Count(published.Data["peer.yaml"], "BEGIN CERTIFICATE"), roots)
	})
}

// trusts checks how many roots of a peer a cluster knows.
func (s *spec) trusts(c, peer *cluster, roots int) {
	s.Helper()
	var p v1alpha1.Peer
	s.must(c.Get(s.Context(), client.ObjectKey{Name: peer.Name}, &p))
	s.must(same("roots", strings.Count(p.Spec.TrustBundle, "BEGIN CERTIFICATE"), roots))
}
