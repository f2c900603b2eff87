package mcs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// Trust domains of clusters that are not there.
const (
	thirdDomain = "third.test"
	wrongDomain = "wrong.test"
)

// manifest that a cluster of this name with a CA of its own would export.
func (s *spec) manifest(name, domain string) *v1alpha1.Peer {
	s.Helper()
	dir := filepath.Join(s.TempDir(), "ca")
	_, err := s.Eastway(s.Context(), "certs", "init", "--dir", dir, "--cluster", name, "--trust-domain", domain)
	s.must(err)
	out, err := s.Eastway(s.Context(), "peer", "export", "--cluster", name, "--ca", dir)
	s.must(err)
	peer := &v1alpha1.Peer{}
	s.must(yaml.UnmarshalStrict([]byte(out), peer))
	return peer
}

func (s *spec) yaml(object any) string {
	s.Helper()
	text, err := yaml.Marshal(object)
	s.must(err)
	return string(text)
}

// file with a manifest, for the command-line tool.
func (s *spec) file(object any) string {
	s.Helper()
	path := filepath.Join(s.TempDir(), "peer.yaml")
	s.must(os.WriteFile(path, []byte(s.yaml(object)), 0o600))
	return path
}

// peer returns the Peer when its status is about its newest version and a condition is so, with all of these words.
func (s *spec) peer(c *cluster, name, kind string, status metav1.ConditionStatus, words ...string) *v1alpha1.Peer {
	s.Helper()
	found := &v1alpha1.Peer{}
	s.await(fmt.Sprintf("%s=%s of the Peer %s in %s", kind, status, name, c.Name), func(ctx context.Context) error {
		*found = v1alpha1.Peer{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, found); err != nil {
			return err
		}
		is := meta.FindStatusCondition(found.Status.Conditions, kind)
		if is == nil || is.Status != status || is.ObservedGeneration != found.Generation {
			return fmt.Errorf("generation %d: it is %+v", found.Generation, is)
		}
		for _, word := range words {
			if !strings.Contains(is.Reason+": "+is.Message, word) {
				return fmt.Errorf("no %q in %s: %s", word, is.Reason, is.Message)
			}
		}
		return nil
	})
	return found
}

// invalidPeers are told apart by the API server or by their status, and touch nothing else.
func invalidPeers(s *spec) {
	end := s.throughout()
	third := s.manifest("third", thirdDomain)
	const reimport = "eastway peer export"
	for _, c := range []struct {
		about string
		spoil func(*v1alpha1.Peer)
		// refused by the API server, else what the status says.
		refused bool
		words   []string
	}{
		{"no bundle", func(p *v1alpha1.Peer) { p.Spec.TrustBundle = "" }, true, []string{"spec.trustBundle"}},
		{"no SPIFFE ID", func(p *v1alpha1.Peer) { p.Spec.SPIFFEID = "https://third.test" }, true, []string{"spec.spiffeID", "^spiffe://"}},
		{
			"words", func(p *v1alpha1.Peer) { p.Spec.TrustBundle = "none of your business" }, false,
			[]string{"Invalid", "spec.trustBundle", "PEM", reimport},
		},
		{
			"broken PEM", func(p *v1alpha1.Peer) { p.Spec.TrustBundle = strings.Replace(p.Spec.TrustBundle, "MII", "MIX", 1) }, false,
			[]string{"Invalid", "spec.trustBundle", reimport},
		},
		{
			"another's trust domain", func(p *v1alpha1.Peer) {
				p.Spec.SPIFFEID = strings.Replace(p.Spec.SPIFFEID, thirdDomain, wrongDomain, 1)
			}, false, []string{"Invalid", "spec.trustBundle", thirdDomain, wrongDomain, reimport},
		},
		{
			"another's ID", func(p *v1alpha1.Peer) {
				other := s.peer(s.first, s.second.Name, v1alpha1.PeerAccepted, metav1.ConditionTrue)
				p.Spec = *other.Spec.DeepCopy()
			}, false, []string{"Invalid", "spec.spiffeID", s.second.Name, "third", reimport},
		},
		{
			"own ID", func(p *v1alpha1.Peer) {
				own := s.peer(s.second, s.first.Name, v1alpha1.PeerAccepted, metav1.ConditionTrue)
				p.Spec = *own.Spec.DeepCopy()
			}, false, []string{"OwnName", "spec.spiffeID", reimport},
		},
		{"own name", func(p *v1alpha1.Peer) { p.Name = s.first.Name }, false, []string{"OwnName", "metadata.name", "--cluster"}},
		{
			"bad address", func(p *v1alpha1.Peer) { p.Spec.Addresses = []string{"third.test:443", "third.test"} }, false,
			[]string{"Invalid", "spec.addresses[1]", "host:port"},
		},
	} {
		peer := third.DeepCopy()
		c.spoil(peer)
		out, err := s.kubectl(s.Context(), s.first, s.yaml(peer), "apply", "-f", "-")
		if c.refused {
			for _, word := range c.words {
				if err == nil || !strings.Contains(out, word) {
					s.Errorf("%s: %v, no %q: %s", c.about, err, word, out)
				}
			}
			continue
		}
		s.must(err)
		s.peer(s.first, peer.Name, v1alpha1.PeerAccepted, metav1.ConditionFalse, c.words...)
		s.peer(s.first, peer.Name, v1alpha1.PeerTrusted, metav1.ConditionFalse, "Accepted")
		s.must(s.first.Delete(s.Context(), peer))
	}
	end()
}

// peerSpoiled: of a Peer that is in use the last good version stays in use, and the status says what is wrong with the new one.
func peerSpoiled(s *spec) {
	end := s.throughout()
	name := s.second.Name
	good := s.peer(s.first, name, v1alpha1.PeerAccepted, metav1.ConditionTrue)
	good = &v1alpha1.Peer{TypeMeta: s.manifestType(), ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: good.Spec}
	mend := func() error {
		_, err := s.Eastway(context.WithoutCancel(s.Context()), "peer", "import", s.file(good), "--context", s.first.Name, "--force")
		return err
	}
	s.Cleanup(func() {
		if s.Failed() {
			_ = mend()
		}
	})
	for _, bundle := range []string{"none of your business", s.manifest(name, wrongDomain).Spec.TrustBundle} {
		_, err := s.kubectl(s.Context(), s.first, "", "patch", "peer", name, "--type=merge", "-p", s.yaml(map[string]any{
			"spec": map[string]any{"trustBundle": bundle},
		}))
		s.must(err)
		s.peer(s.first, name, v1alpha1.PeerAccepted, metav1.ConditionFalse, "Invalid", "spec.trustBundle", "eastway peer export")
		s.peer(s.first, name, v1alpha1.PeerConnected, metav1.ConditionTrue)
		s.fails(s.first, "peers", name, "spec.trustBundle", "eastway peer export")
	}
	// A name belongs to a Peer for as long as the Peer is there.
	out, err := s.kubectl(s.Context(), s.first, s.yaml(s.manifest(name, thirdDomain)), "apply", "-f", "-")
	if err == nil || !strings.Contains(out, "spec.spiffeID") || !strings.Contains(out, "is immutable") {
		s.Errorf("another cluster took the name %s: %v, %s", name, err, out)
	}
	s.must(mend())
	s.peer(s.first, name, v1alpha1.PeerAccepted, metav1.ConditionTrue)
	s.heals(s.first, "peers", "")
	end()
}

func (*spec) manifestType() metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion, Kind: "Peer"}
}

// oneName: a cluster with a name that is taken already does not get in.
func oneName(s *spec) {
	end := s.throughout()
	before := s.peer(s.first, s.second.Name, v1alpha1.PeerConnected, metav1.ConditionTrue)
	own := s.manifest(s.first.Name, thirdDomain)
	taken := s.manifest(s.second.Name, thirdDomain)
	s.refuses([]string{"own name", "Two clusters of one name", thirdDomain, "under another name"},
		"peer", "import", s.file(own), "--context", s.first.Name)
	s.refuses([]string{fmt.Sprintf("the name %q is taken", s.second.Name), thirdDomain, "remove that Peer first"},
		"peer", "import", s.file(taken), "--context", s.first.Name)
	s.refuses([]string{"taken"}, "peer", "import", s.file(taken), "--context", s.first.Name, "--force")

	// Two installations that say they are the same: what they publish is all that is needed to tell.
	const namespace = "twins"
	for c, peer := range map[*cluster]*v1alpha1.Peer{s.first: own, s.second: s.manifest(s.first.Name, wrongDomain)} {
		s.must(c.Create(s.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
		s.Cleanup(func() {
			err := c.Delete(context.WithoutCancel(s.Context()), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
			if err != nil {
				s.Error(err)
			}
		})
		s.must(c.Create(s.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "eastway-cluster"},
			Data:       map[string]string{"cluster": peer.Name, "peer.yaml": s.yaml(peer)},
		}))
	}
	s.refuses([]string{"two clusters of one name", s.first.Name, s.second.Name, "under another name"},
		"peer", "link", "--contexts", s.first.Name+","+s.second.Name, "--namespace", namespace)

	after := s.peer(s.first, s.second.Name, v1alpha1.PeerConnected, metav1.ConditionTrue)
	s.must(errors.Join(same("generation", after.Generation, before.Generation), same("UID", after.UID, before.UID)))
	if err := s.first.Get(s.Context(), client.ObjectKey{Name: s.first.Name}, &v1alpha1.Peer{}); !apierrors.IsNotFound(err) {
		s.Errorf("there is a Peer of the cluster itself: %v", err)
	}
	end()
}
