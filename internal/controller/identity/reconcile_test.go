package identity

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/yaml"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/peering"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an installation whose clock the test moves.
type world struct {
	t   *testing.T
	c   client.Client
	r   *Reconciler
	now time.Time
}

func newWorld(t *testing.T, edit func(*Config), objects ...client.Object) *world {
	t.Helper()
	w := &world{t: t, now: time.Now().Truncate(time.Second), c: fake.NewClientBuilder().WithObjects(objects...).Build()}
	writer, err := apply.NewWriter(w.c, nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Cluster: "here", Namespace: "system", CASecret: "ca", SVIDSecret: "svid", NodeSecret: "node-svid", ConfigMap: "cluster",
		TunnelServices: []string{"tunnel"},
		Client:         w.c, Direct: w.c, Writer: writer, Holder: &Holder{}, Now: func() time.Time { return w.now },
	}
	if edit != nil {
		edit(&cfg)
	}
	if w.r, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) reconcile() (time.Duration, error) {
	w.t.Helper()
	result, err := w.r.Reconcile(w.t.Context(), reconcile.Request{})
	return result.RequeueAfter, err
}

func (w *world) must() time.Duration {
	w.t.Helper()
	after, err := w.reconcile()
	if err != nil {
		w.t.Fatal(err)
	}
	return after
}

func (w *world) secret(name string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{}
	if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: "system", Name: name}, s); err != nil {
		w.t.Fatal(err)
	}
	return s
}

func (w *world) update(o client.Object) {
	w.t.Helper()
	if err := w.c.Update(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) manifest() (*v1alpha1.Peer, map[string]string) {
	w.t.Helper()
	m := &corev1.ConfigMap{}
	if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: "system", Name: "cluster"}, m); err != nil {
		w.t.Fatal(err)
	}
	p := &v1alpha1.Peer{}
	if err := yaml.UnmarshalStrict([]byte(m.Data["peer.yaml"]), p); err != nil {
		w.t.Fatal(err)
	}
	return p, m.Data
}

func userSecret(name string, content certs.Secret) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: name}, Data: content.Data()}
}

func newCA(t *testing.T, td string) (*certs.CA, certs.Secret) {
	t.Helper()
	ca, err := certs.NewCA(certs.Options{TrustDomain: spiffeid.RequireTrustDomainFromString(td)})
	if err != nil {
		t.Fatal(err)
	}
	s, err := ca.Secret()
	if err != nil {
		t.Fatal(err)
	}
	return ca, s
}

// The first start makes everything, and what it publishes is what others can import.
func TestFirstStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	if after := w.must(); after <= 0 || after > pollEvery {
		t.Errorf("comes back after %s", after)
	}
	p, data := w.manifest()
	if err := v1alpha1.ValidatePeer(p).ToAggregate(); err != nil {
		t.Error(err)
	}
	peer, err := certs.ParsePeer(p.Name, p.Spec.SPIFFEID, p.Spec.TrustBundle)
	if err != nil {
		t.Fatal(err)
	}
	svid, bundle, err := certs.ParseSVID("here", certs.SecretOf(w.secret("svid").Data))
	if err != nil {
		t.Fatal(err)
	}
	if peer.ID != svid.ID || !peer.Bundle.Equal(bundle) || p.Spec.SPIFFEID != "spiffe://here.eastway.internal/eastway/cluster/here" ||
		data["cluster"] != "here" || data["addresses-from"] != peering.FromNowhere {
		t.Errorf("%s, %v", p.Spec.SPIFFEID, data)
	}
	if held, err := w.r.cfg.Holder.GetX509SVID(); err != nil || held.ID != svid.ID || w.r.cfg.Holder.Bundle() == nil {
		t.Errorf("holder: %v", err)
	}
	if _, leaked := w.secret("svid").Data["ca.key"]; leaked || bytes.Contains(w.secret("svid").Data["tls.key"], w.secret("ca").Data["tls.key"]) {
		t.Error("the CA's key is in the proxies' Secret")
	}
	before := w.secret("svid").ResourceVersion
	w.must()
	if w.secret("svid").ResourceVersion != before {
		t.Error("issued again at once")
	}
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *Config) { c.TTL = 10 * time.Hour })
	w.must()
	changed := w.r.cfg.Holder.Changed()
	first := w.secret("svid")
	ca := w.secret("ca").ResourceVersion
	w.now = w.now.Add(3 * time.Hour)
	w.must()
	if w.secret("svid").ResourceVersion != first.ResourceVersion {
		t.Error("renewed before its time")
	}
	w.now = w.now.Add(3*time.Hour + 30*time.Minute)
	w.must()
	second := w.secret("svid")
	if bytes.Equal(second.Data["tls.crt"], first.Data["tls.crt"]) || bytes.Equal(second.Data["tls.key"], first.Data["tls.key"]) {
		t.Error("not renewed")
	}
	select {
	case <-changed:
	default:
		t.Error("no subscriber was notified")
	}
	if w.secret("ca").ResourceVersion != ca {
		t.Error("the CA's Secret was written")
	}
	// A clock that was set back makes certificates of the future.
	w.now = w.now.Add(-24 * time.Hour)
	w.must()
	if bytes.Equal(w.secret("svid").Data["tls.crt"], second.Data["tls.crt"]) {
		t.Error("a certificate of the future stays")
	}
}

// Each cluster renews at a moment of its own, around half of the life.
func TestRenewalJitter(t *testing.T) {
	t.Parallel()
	ca, _ := newCA(t, "a.test")
	var moments []float64
	for range 20 {
		svid, err := ca.Issue("a", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		c := svid.Certificates[0]
		at := renewal(svid).Sub(c.NotBefore).Seconds() / c.NotAfter.Sub(c.NotBefore).Seconds()
		if at < 0.4 || at > 0.6 || !renewal(svid).Equal(renewal(svid)) {
			t.Errorf("at %f of its life", at)
		}
		moments = append(moments, at)
	}
	if slices.Max(moments)-slices.Min(moments) < 0.02 {
		t.Errorf("no jitter: %v", moments)
	}
}

func TestUsersCA(t *testing.T) {
	t.Parallel()
	root, err := certs.OpenRoot(t.TempDir(), true, certs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := root.SignCA(t.TempDir(), certs.Options{TrustDomain: spiffeid.RequireTrustDomainFromString("corp.test")})
	if err != nil {
		t.Fatal(err)
	}
	content, err := ca.Secret()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil, userSecret("ca", content))
	w.must()
	p, _ := w.manifest()
	if p.Spec.SPIFFEID != "spiffe://corp.test/eastway/cluster/here" {
		t.Errorf("%s", p.Spec.SPIFFEID)
	}
	svid, bundle, err := certs.ParseSVID("here", certs.SecretOf(w.secret("svid").Data))
	if err != nil || len(svid.Certificates) != 2 || !bundle.X509Authorities()[0].Equal(root.Certificate()) {
		t.Errorf("%v, chain of %d", err, len(svid.Certificates))
	}
	// A CA that is replaced: the certificate follows.
	_, other := newCA(t, "other.test")
	s := w.secret("ca")
	s.Data = other.Data()
	w.update(s)
	w.must()
	if p, _ := w.manifest(); p.Spec.SPIFFEID != "spiffe://other.test/eastway/cluster/here" {
		t.Errorf("%s", p.Spec.SPIFFEID)
	}
}

// A CA that is broken is left alone, and what was issued before goes on being used.
func TestBrokenCA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.must()
	good := w.secret("ca").Data
	for name, data := range map[string]map[string][]byte{
		"emptied":        {},
		"without a key":  {"tls.crt": good["tls.crt"]},
		"mixed up":       {"tls.crt": good["tls.crt"], "tls.key": w.secret("svid").Data["tls.key"]},
		"not even PEM":   {"tls.crt": []byte("x"), "tls.key": []byte("x")},
		"a wrong domain": nil,
	} {
		if data == nil {
			w.r.cfg.TrustDomain = spiffeid.RequireTrustDomainFromString("elsewhere.test")
			data = good
		}
		s := w.secret("ca")
		s.Data = data
		w.update(s)
		before := w.secret("ca").ResourceVersion
		_, err := w.reconcile()
		if err == nil || !strings.Contains(err.Error(), "Secret system/ca") {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE KEY-----") {
			t.Errorf("%s: the error shows a key", name)
		}
		if w.secret("ca").ResourceVersion != before {
			t.Errorf("%s: it was written", name)
		}
		if _, err := w.r.cfg.Holder.GetX509SVID(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The certificate may be cert-manager's: then there is no CA of ours.
func TestForeignCertificate(t *testing.T) {
	t.Parallel()
	ca, _ := newCA(t, "corp.test")
	svid, err := ca.Issue("here", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	content, err := certs.EncodeSVID(svid, ca.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil, userSecret("svid", content))
	w.must()
	if p, _ := w.manifest(); p.Spec.SPIFFEID != svid.ID.String() {
		t.Errorf("%s", p.Spec.SPIFFEID)
	}
	if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: "ca"}, &corev1.Secret{}); err == nil {
		t.Error("a CA was made")
	}
	before := w.secret("svid").ResourceVersion
	w.now = w.now.Add(2 * time.Hour)
	if _, err := w.reconcile(); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
	s := w.secret("svid")
	if s.ResourceVersion != before {
		t.Error("it was written")
	}
	s.Data["tls.crt"] = nil
	w.update(s)
	if _, err := w.reconcile(); err == nil || !strings.Contains(err.Error(), "Eastway did not write it") {
		t.Errorf("broken: %v", err)
	}
}

// Addresses follow the Service, and flags win.
func TestAddressesFollow(t *testing.T) {
	t.Parallel()
	tunnel := tunnelService(30001, 30001)
	tunnel.Namespace, tunnel.Name = "system", "tunnel"
	n := node("1", "z", "198.51.100.1")
	n.Labels[corev1.LabelTopologyRegion] = "eu"
	w := newWorld(t, nil, tunnel, &n)
	expect := func(from string, want ...string) {
		t.Helper()
		w.must()
		if p, data := w.manifest(); !slices.Equal(p.Spec.Addresses, want) || data["addresses-from"] != from {
			t.Errorf("%v from %s, want %v from %s", p.Spec.Addresses, data["addresses-from"], want, from)
		} else if !slices.Equal(p.Spec.Localities, []string{"eu"}) {
			t.Errorf("localities %q", p.Spec.Localities)
		}
	}
	expect(peering.FromNodePorts, "198.51.100.1:30001")
	s := &corev1.Service{}
	if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(tunnel), s); err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"203.0.113.1", "203.0.113.2"} {
		s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: ip}}
		if err := w.c.Status().Update(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		expect(peering.FromLoadBalancer, ip+":15443")
	}
	w.r.cfg.PublicAddresses = []string{"proxy.example.com:7443"}
	expect(peering.FromFlags, "proxy.example.com:7443")
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := newWorld(t, nil).r.cfg
	for field, edit := range map[string]func(*Config){
		"Cluster": func(c *Config) { c.Cluster = "no.label" }, "Namespace": func(c *Config) { c.Namespace = "" },
		"SVIDSecret": func(c *Config) { c.SVIDSecret = c.CASecret }, "NodeSecret": func(c *Config) { c.NodeSecret = c.SVIDSecret },
		"Holder": func(c *Config) { c.Holder = nil },
	} {
		c := good
		edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// What is made goes with its owner; only the CA stays, so that a new installation is the same cluster to its peers.
func TestOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.must() // an installation of before, which had no owner
	owners := func() map[string][]metav1.OwnerReference {
		m := &corev1.ConfigMap{}
		if err := w.c.Get(t.Context(), client.ObjectKey{Namespace: "system", Name: "cluster"}, m); err != nil {
			t.Fatal(err)
		}
		return map[string][]metav1.OwnerReference{
			"ca": w.secret("ca").OwnerReferences, "svid": w.secret("svid").OwnerReferences, "cluster": m.OwnerReferences,
			"node-svid": w.secret("node-svid").OwnerReferences,
		}
	}
	for _, uid := range []types.UID{"first", "second"} { // and one that was removed and recreated at once
		w.r.cfg.Owner = &metav1.OwnerReference{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRole", Name: "role", UID: uid}
		w.must()
		for name, has := range owners() {
			want := []metav1.OwnerReference{*w.r.cfg.Owner}
			if name == "ca" {
				want = nil
			}
			if !slices.Equal(has, want) {
				t.Errorf("%s: %s is owned by %v, want %v", uid, name, has, want)
			}
		}
		before := w.secret("svid").ResourceVersion
		w.must()
		if w.secret("svid").ResourceVersion != before {
			t.Error("issued again although it is owned")
		}
	}
}

// A certificate of another program that its own bundle does not vouch for is used, and named: peers refuse it.
func TestForeignCertificateThatPeersRefuse(t *testing.T) {
	t.Parallel()
	issuer, _ := newCA(t, "here.eastway.internal")
	other, _ := newCA(t, "here.eastway.internal")
	svid, err := issuer.Issue("here", 0)
	if err != nil {
		t.Fatal(err)
	}
	content, err := certs.EncodeSVID(svid, other.Bundle())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil, userSecret("svid", content))
	if _, err := w.reconcile(); err == nil ||
		!strings.Contains(err.Error(), "system/svid, which Eastway did not write: peers would refuse the certificate") {
		t.Errorf("want an error that names the Secret and the cause, got %v", err)
	}
	if got, err := w.r.cfg.Holder.GetX509SVID(); err != nil || got.ID != svid.ID {
		t.Errorf("not used: %v", err)
	}
}
