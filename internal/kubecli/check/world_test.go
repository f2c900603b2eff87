package check

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/certs"
	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/kubecli/kubetest"
	"github.com/eastway/eastway/internal/status"
	"github.com/eastway/eastway/internal/takeover/report"
)

func TestMain(m *testing.M) {
	// Of a SPDY connection that the other side closed first this remains for a second.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/moby/spdystream.(*Connection).shutdown"))
}

const (
	ns      = kubecli.DefaultNamespace
	release = kubecli.DefaultRelease
)

// world is a cluster in which everything is well; tests break one thing.
type world struct {
	t      *testing.T
	server *kubetest.Server
	ca     *certs.CA

	mu      sync.Mutex
	status  admin.Status      // of both proxies
	places  []status.Endpoint // that both know of shop/cart
	expiry  time.Time         // of their certificates
	offset  time.Duration     // of their clocks
	agent   report.Status     // of both node agents
	denied  string            // a resource that no user has a right to
	address string            // what DNS answers
	outside map[string]string // and for names outside the cluster
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme, err := kubecli.Scheme()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, server: kubetest.New(t, scheme), expiry: time.Now().Add(20*time.Hour + 30*time.Minute), address: "10.96.0.7"}
	s := w.server
	w.ca = kubetest.NewCA(t, "a")
	s.Install(ns, release, kubetest.ManifestOf(t, w.ca, "a", "a.example.com:15443"))
	s.AddCA(ns, release, w.ca)
	for i, zone := range []string{"z1", "z2"} {
		node := &corev1.Node{}
		node.Name, node.Labels = fmt.Sprint("node-", i+1), map[string]string{zoneLabel: zone}
		s.Add(node)
		s.AddPod(ns, fmt.Sprint("eastway-proxy-", i+1), release, "proxy", node.Name)
		s.AddPod(ns, fmt.Sprint("eastway-node-", i+1), release, "node", node.Name)
		s.AddPod(ns, fmt.Sprint("eastway-controller-", i+1), release, "controller", node.Name)
	}
	w.lease(time.Now())
	w.corefile("kubernetes cluster.local clusterset.local in-addr.arpa ip6.arpa {\n  multicluster clusterset.local\n}")
	w.config("kube-system", "kube-proxy", "config.conf", "kind: KubeProxyConfiguration\nmode: \"nftables\"\n")
	w.peer(nil)
	w.status = admin.Status{Version: "v1", Peers: []status.Peer{{Peer: "b", State: "connected", Links: []status.Link{{
		Replica: "r", State: "connected",
		Lanes: []status.Lane{{Transport: "quic"}, {Transport: "tcp", CongestionControl: "bbr"}},
	}}}}}
	w.agent = report.Status{
		Datapath: report.Datapath{Checked: true}, Services: []report.ServiceStatus{
			{Service: "shop/cart"}, {Service: ns + "/ew-cart-import-abcdefghijkl", Carries: "shop/cart"},
		},
	}
	w.places = []status.Endpoint{{Address: "b", Cluster: "b", Port: 80, Status: status.Healthy, OutlierCheck: status.CheckOK}}
	w.serve()
	s.OnChange(w.review)
	w.imports()
	return w
}

func (w *world) config(namespace, name, key, value string) {
	c := &corev1.ConfigMap{Data: map[string]string{key: value}}
	c.Namespace, c.Name = namespace, name
	w.server.Add(c)
}

func (w *world) corefile(text string) {
	w.config(dnsNamespace, dnsConfigMap, "Corefile", ".:53 {\n"+text+"\n}")
}

// external adds the ExternalService shop/mydb; change may be nil.
func (w *world) external(address string, change func(*v1alpha1.ExternalService)) {
	e := &v1alpha1.ExternalService{Spec: v1alpha1.ExternalServiceSpec{
		Hosts: []string{"mydb.com"}, Endpoints: []v1alpha1.ExternalEndpoint{{Address: "db.example.com"}},
	}}
	e.Namespace, e.Name = "shop", "mydb"
	e.Status.Hostname, e.Status.Addresses = "ew-mydb-external-abc.eastway-system.svc", []string{"10.96.0.8"}
	if change != nil {
		change(e)
	}
	w.server.Add(e)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outside = map[string]string{"mydb.com.": address}
}

func (w *world) lease(renewed time.Time) {
	l := &coordinationv1.Lease{}
	l.Namespace, l.Name = ns, release+"-controller"
	holder, seconds, at := "eastway-controller-1", int32(15), metav1.NewMicroTime(renewed)
	l.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at}
	w.server.Add(l)
}

// peer adds the peer b, connected both ways; change may spoil it.
func (w *world) peer(change func(*v1alpha1.Peer)) {
	p := kubetest.Manifest(w.t, "b", "b.example.com:15443").Peer
	p.Status = v1alpha1.PeerStatus{Proxies: 2, ConnectedProxies: 2, Lanes: 4}
	for _, c := range []string{
		v1alpha1.PeerAccepted, v1alpha1.PeerTrusted, v1alpha1.PeerConnected, v1alpha1.PeerReachableFromUs, v1alpha1.PeerReachesUs,
	} {
		p.Status.Conditions = append(p.Status.Conditions, metav1.Condition{Type: c, Status: metav1.ConditionTrue})
	}
	if change != nil {
		change(p)
	}
	w.server.Add(p)
}

// imports adds shop/cart, which b exports, its derived Service, and a DNS pod that knows it.
func (w *world) imports() {
	i := &mcsv1beta1.ServiceImport{}
	i.Namespace, i.Name = "shop", "cart"
	i.Spec.IPs = []string{"10.96.0.7"}
	i.Spec.Ports = []mcsv1beta1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}
	i.Status.Clusters = []mcsv1beta1.ClusterStatus{{Cluster: "b"}}
	derived := &corev1.Service{}
	derived.Namespace, derived.Name = ns, "ew-cart"
	derived.Labels = map[string]string{
		v1alpha1.DerivedLabel: v1alpha1.DerivedImport, v1alpha1.ServiceNamespaceLabel: "shop", v1alpha1.ServiceNameLabel: "cart",
	}
	derived.Spec.Ports = []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(20000)}}
	dns := w.server.AddPod(dnsNamespace, "coredns-1", "", "", "node-1")
	dns.Labels = map[string]string{dnsLabel: dnsLabelled}
	shop := &corev1.Namespace{}
	shop.Name = "shop"
	w.server.Add(i, derived, dns, shop)
	w.export("stock", mcsv1beta1.ServiceExportConditionValid, metav1.ConditionTrue, "", "")
	w.server.Forward("coredns-1", dnsPort, w.listen(w.resolve))
	w.server.Forward("eastway-proxy-1", 20000, w.listen(func(c net.Conn) {
		_, _ = io.ReadFull(c, make([]byte, 10))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
	}))
}

// export adds shop/NAME, which this cluster exports, with one condition.
func (w *world) export(name string, kind mcsv1beta1.ServiceExportConditionType, is metav1.ConditionStatus, reason, message string) {
	e := &mcsv1beta1.ServiceExport{}
	e.Namespace, e.Name = "shop", name
	e.Status.Conditions = []metav1.Condition{{Type: string(kind), Status: is, Reason: reason, Message: message}}
	w.server.Add(e)
}

// policy adds one of that name, with its condition.
func (w *world) policy(name string, is metav1.ConditionStatus, reason, message string) {
	p := &v1alpha1.TrafficPolicy{}
	p.Namespace, p.Name = "shop", name
	p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.PolicyAccepted, Status: is, Reason: reason, Message: message}}
	w.server.Add(p)
}

// deployment adds one that has no pods of its present template, with why.
func (w *world) deployment(component string, wanted int32, why string) {
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = ns, "eastway-"+component
	d.Labels = w.server.AddPod(ns, "eastway-"+component+"-1", release, component, "node-1").Labels
	d.Spec.Replicas = &wanted
	if why != "" {
		d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: why}}
	}
	w.server.Add(d)
}

// serve answers for the proxies and the node agents.
func (w *world) serve() {
	mux := http.NewServeMux()
	answer := func(value func() any) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) {
			w.mu.Lock()
			defer w.mu.Unlock()
			rw.Header().Set("Date", time.Now().Add(w.offset).UTC().Format(http.TimeFormat))
			if text, plain := value().(string); plain {
				_, _ = io.WriteString(rw, text)
				return
			}
			_ = json.NewEncoder(rw).Encode(value())
		}
	}
	mux.HandleFunc("/status", answer(func() any { return w.status }))
	mux.HandleFunc("/endpoints", func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.places == nil || !slices.Contains([]string{"shop/cart", "elsewhere/cart"}, r.URL.Query().Get("service")) {
			rw.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(rw, `{"error":"no such service","reason":"no_such_service"}`)
			return
		}
		_ = json.NewEncoder(rw).Encode(admin.ServiceEndpoints{Namespace: "shop", Name: "cart", Endpoints: w.places})
	})
	mux.HandleFunc("/takeovers", answer(func() any { return w.agent }))
	mux.HandleFunc("/metrics", answer(func() any {
		return fmt.Sprintf("# TYPE %s gauge\n%s_x 1\n%s %g\n", svidExpiry, svidExpiry, svidExpiry, float64(w.expiry.Unix()))
	}))
	s := httptest.NewServer(mux)
	w.t.Cleanup(s.Close)
	for i := range 2 {
		w.server.Forward(fmt.Sprint("eastway-proxy-", i+1), kubecli.AdminPort, s.Listener.Addr().String())
		w.server.Forward(fmt.Sprint("eastway-proxy-", i+1), kubecli.HealthPort, s.Listener.Addr().String())
		w.server.Forward(fmt.Sprint("eastway-node-", i+1), kubecli.NodeHealthPort, s.Listener.Addr().String())
	}
}

// review answers SubjectAccessReviews: the double gives back what it was told.
func (w *world) review(_ string, object map[string]any) {
	if object["kind"] != "SubjectAccessReview" {
		return
	}
	spec := object["spec"].(map[string]any)["resourceAttributes"].(map[string]any)
	w.mu.Lock()
	defer w.mu.Unlock()
	kind := spec["resource"].(string)
	if sub, ok := spec["subresource"].(string); ok && sub != "" {
		kind += "/" + sub
	}
	object["status"] = map[string]any{"allowed": kind != w.denied}
}

// listen handles each connection until the test ends.
func (w *world) listen(handle func(net.Conn)) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	w.t.Cleanup(func() {
		l.Close()
		done.Wait()
	})
	return l.Addr().String()
}

// resolve is a DNS server over TCP that knows one name.
func (w *world) resolve(c net.Conn) {
	for {
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		query := make([]byte, int(length[0])<<8|int(length[1]))
		if _, err := io.ReadFull(c, query); err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(query) != nil {
			return
		}
		m.Response, m.Additionals = true, nil
		q := m.Questions[0]
		w.mu.Lock()
		address := w.outside[q.Name.String()]
		if strings.EqualFold(q.Name.String(), "cart.shop.svc.clusterset.local.") {
			address = w.address
		}
		w.mu.Unlock()
		switch {
		case address == "":
			m.RCode = dnsmessage.RCodeNameError
		case q.Type == dnsmessage.TypeA:
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, Type: q.Type},
				Body:   &dnsmessage.AResource{A: [4]byte(net.ParseIP(address).To4())},
			}}
		}
		out, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := c.Write(append([]byte{byte(len(out) >> 8), byte(len(out))}, out...)); err != nil {
			return
		}
	}
}

// removePods of components.
func (w *world) removePods(components ...string) {
	for _, c := range components {
		for i := range 2 {
			w.server.Remove("/v1/pods", ns, fmt.Sprintf("eastway-%s-%d", c, i+1))
		}
	}
}

func (w *world) removeAgents() { w.removePods("node") }

func (w *world) daemonSet() *appsv1.DaemonSet {
	d := &appsv1.DaemonSet{}
	d.Namespace, d.Name = ns, "eastway-node"
	d.Labels = w.server.AddPod(ns, "eastway-node-1", release, "node", "node-1").Labels
	w.removeAgents()
	return d
}

func (w *world) open() *kubecli.Cluster {
	c, err := kubecli.Open(kubecli.Options{Kubeconfig: kubetest.Kubeconfig(w.t, map[string]*kubetest.Server{"east": w.server})})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.Close)
	return c
}

// check runs all checks.
func (w *world) check(o Options) (results []Result, counts map[Level]int) {
	o.Version = "v1"
	counts = Run(w.t.Context(), All(w.open(), o), func(r Result) { results = append(results, r) })
	return results, counts
}
