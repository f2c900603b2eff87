package gateway

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/clip"
	"github.com/eastway/eastway/internal/controller/apply"
	"github.com/eastway/eastway/internal/controller/names"
	"github.com/eastway/eastway/internal/entry/route"
)

// Config of a Reconciler. All but Owner, Events, Log and Registerer is required.
type Config struct {
	Settings
	// Namespace is the installation's, where the Services are.
	Namespace string
	// Client reads from caches.
	Client client.Client
	// Direct reads from the API server: a cache may lag behind what was just written, and no two Gateways may get the same port.
	Direct client.Reader
	Writer *apply.Writer
	// Owner of the Services, so that they go with the installation; it must be cluster-scoped.
	Owner *metav1.OwnerReference
	// Events takes what the owner of a Gateway has to repair.
	Events     record.EventRecorder
	Log        *zap.Logger
	Registerer prometheus.Registerer
}

// Reconciler brings the Services and addresses of Gateways into line, one at a time. Requests have the Gateway's namespace and, as its
// name, what the label of its Service says.
type Reconciler struct {
	cfg    Config
	log    *zap.Logger
	within span                              // the entries' ports
	start  func(g *gatewayv1.Gateway) uint32 // where a Gateway's search for them begins
	states *states
	said   map[types.NamespacedName]string // the last problem of each Gateway, which is not repeated
}

// New returns a Reconciler; Setup connects it to what it watches.
func New(cfg Config) (*Reconciler, error) {
	for field, missing := range map[string]bool{
		"EntryService": cfg.EntryService == "", "Namespace": cfg.Namespace == "",
		"Client": cfg.Client == nil, "Direct": cfg.Direct == nil, "Writer": cfg.Writer == nil,
	} {
		if missing {
			return nil, fmt.Errorf("gateway: Config.%s is required", field)
		}
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	r := &Reconciler{
		cfg: cfg, log: cfg.Log, within: span{firstNumber, firstNumber + maxNumbers - 1}, start: startOf,
		states: newStates(), said: make(map[types.NamespacedName]string),
	}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(r.states.gauge); err != nil {
			return nil, fmt.Errorf("gateway: register metrics: %w", err)
		}
	}
	return r, nil
}

// view is what is known of one Gateway.
type view struct {
	gateway *gatewayv1.Gateway      // nil: there is none
	class   *gatewayv1.GatewayClass // nil: none, or another controller's
	service *corev1.Service         // of the name that the Gateway's has, and ours; nil: there is none
	foreign *corev1.Service         // of that name, and not ours
	surplus []*corev1.Service       // that say they are of this Gateway
	all     []corev1.Service        // of all Gateways
}

// Reconcile looks at one Gateway and writes what differs.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	v, err := r.load(ctx, req.NamespacedName)
	if err == nil {
		var state state
		var problem problem
		state, problem, err = r.bring(ctx, v)
		r.states.set(req.NamespacedName, state)
		if err == nil {
			r.report(req.NamespacedName, v.gateway, problem)
		}
		if problem.text != "" && err == nil {
			return reconcile.Result{RequeueAfter: again}, nil
		}
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return reconcile.Result{}, nil // the process ends
	}
	return reconcile.Result{}, err
}

// load reads what is known from the caches.
func (r *Reconciler) load(ctx context.Context, key types.NamespacedName) (*view, error) {
	v := &view{}
	var err error
	if v.gateway, err = r.find(ctx, key); err != nil {
		return nil, err
	}
	if v.gateway != nil {
		if v.class, err = r.class(ctx, string(v.gateway.Spec.GatewayClassName)); err != nil {
			return nil, err
		}
	}
	if v.all, err = r.services(ctx, r.cfg.Client); err != nil {
		return nil, err
	}
	var own string
	if v.gateway != nil {
		own = serviceName(v.gateway)
		var s corev1.Service
		switch err := r.cfg.Client.Get(ctx, client.ObjectKey{Namespace: r.cfg.Namespace, Name: own}, &s); {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("read Service %s/%s: %w", r.cfg.Namespace, own, err)
		case ours(&s):
			v.service = &s
		default:
			v.foreign = &s
		}
	}
	for i := range v.all {
		s := &v.all[i]
		if keyOf(s) == key && s.Name != own && removable(s, r.cfg.Owner) {
			v.surplus = append(v.surplus, s)
		}
	}
	return v, nil
}

// find is the Gateway that a label of its Service names. One that is being deleted is as good as gone.
func (r *Reconciler) find(ctx context.Context, key types.NamespacedName) (*gatewayv1.Gateway, error) {
	var list gatewayv1.GatewayList
	if err := r.cfg.Client.List(ctx, &list, client.InNamespace(key.Namespace)); err != nil {
		return nil, fmt.Errorf("list the Gateways in %s: %w", key.Namespace, err)
	}
	for i := range list.Items {
		if g := &list.Items[i]; names.Label(g.Name) == key.Name && g.DeletionTimestamp.IsZero() {
			return g, nil
		}
	}
	return nil, nil
}

// class of that name if it is Eastway's.
func (r *Reconciler) class(ctx context.Context, name string) (*gatewayv1.GatewayClass, error) {
	var c gatewayv1.GatewayClass
	switch err := r.cfg.Client.Get(ctx, client.ObjectKey{Name: name}, &c); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read GatewayClass %s: %w", name, err)
	case c.Spec.ControllerName != route.ControllerName:
		return nil, nil
	}
	return &c, nil
}

// services are those of all Gateways.
func (r *Reconciler) services(ctx context.Context, from client.Reader) ([]corev1.Service, error) {
	var list corev1.ServiceList
	err := from.List(ctx, &list, client.InNamespace(r.cfg.Namespace), client.HasLabels{gatewayv1.GatewayNameLabelKey, v1alpha1.GatewayNamespaceLabel})
	if err != nil {
		return nil, fmt.Errorf("list the Services of Gateways in %s: %w", r.cfg.Namespace, err)
	}
	return list.Items, nil
}

// keyOf is the request for the Gateway of a Service.
func keyOf(s client.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: s.GetLabels()[v1alpha1.GatewayNamespaceLabel], Name: s.GetLabels()[gatewayv1.GatewayNameLabelKey]}
}

// bring writes what differs. Addresses are withdrawn before they lead nowhere.
func (r *Reconciler) bring(ctx context.Context, v *view) (state, problem, error) {
	if v.class == nil {
		return none, problem{}, r.release(ctx, v)
	}
	for _, s := range v.surplus {
		if err := r.remove(ctx, s); err != nil {
			return failed, problem{}, err
		}
	}
	service, why, err := r.serve(ctx, v)
	if err != nil {
		return failed, problem{}, err
	}
	found, err := r.address(ctx, v.gateway, service)
	switch {
	case err != nil || why.text != "":
		return failed, why, err
	case refusal(v.class, v.gateway) != "":
		return refused, problem{}, nil
	case !found:
		return waiting, problem{}, nil
	}
	return addressed, problem{}, nil
}

// serve makes the Service of a Gateway, and returns it as it is now. A Gateway that cannot be served gets none; one that it has stays as it
// is: its address may be in the DNS.
func (r *Reconciler) serve(ctx context.Context, v *view) (*corev1.Service, problem, error) {
	switch {
	case v.foreign != nil:
		return nil, problem{"ServiceNameTaken", fmt.Sprintf("There is a Service %s in namespace %s that Eastway did not make: delete or rename it.",
			v.foreign.Name, v.foreign.Namespace)}, nil
	case v.service != nil && !v.service.DeletionTimestamp.IsZero():
		return v.service, problem{}, nil // it is made again when it is gone
	case refusal(v.class, v.gateway) != "":
		return v.service, problem{}, nil
	}
	selector, err := r.entries(ctx)
	if err != nil {
		return nil, problem{}, err
	}
	got, err := r.numbers(ctx, v)
	if err != nil {
		return nil, problem{}, err
	}
	var why problem
	if len(got.short) > 0 {
		why = problem{"PortsExhausted", fmt.Sprintf("No port of the entries is left for listeners with port %v: they open %d at most, "+
			"of %d-%d; remove listeners or Gateways.", got.short, route.MaxPorts, r.within.first, r.within.last)}
	}
	if len(got.numbers) == 0 {
		return v.service, why, nil
	}
	want := r.cfg.service(v.gateway, r.cfg.Namespace, selector, got.numbers)
	if r.cfg.Owner != nil {
		want.OwnerReferences = []metav1.OwnerReference{*r.cfg.Owner}
	}
	if v.service != nil {
		if keep(v.service, want); same(v.service, want) {
			return v.service, why, nil
		}
	}
	switch err := r.cfg.Writer.Apply(ctx, want); {
	case apierrors.IsInvalid(err):
		return v.service, problem{"ServiceInvalid", fmt.Sprintf("The API server refuses the Service %s/%s: %v: repair spec.infrastructure, "+
			"or delete the Service: it is made again, with another address.", want.Namespace, want.Name, err)}, nil
	case err != nil:
		return nil, problem{}, err
	}
	r.log.Info("the Service of a Gateway was written", zap.String("gateway", v.gateway.Namespace+"/"+v.gateway.Name),
		zap.String("service", want.Namespace+"/"+want.Name), zap.Bool("new", v.service == nil))
	return want, why, nil
}

// numbers of the Gateway's ports. New ones are chosen by what the API server itself knows.
func (r *Reconciler) numbers(ctx context.Context, v *view) (assignment, error) {
	ports, name := served(v.gateway.Spec.Listeners), serviceName(v.gateway)
	out := r.within.assign(ports, v.remembered(name), nil, r.start(v.gateway))
	if !out.fresh {
		return out, nil
	}
	all, err := r.services(ctx, r.cfg.Direct)
	if err != nil {
		return assignment{}, err
	}
	kept, taken := remembered(all, name)
	return r.within.assign(ports, kept, taken, r.start(v.gateway)), nil
}

// remembered are the numbers that the Service of the Gateway keeps.
func (v *view) remembered(name string) map[uint16]uint16 {
	kept, _ := remembered(v.all, name)
	return kept
}

// entries is what selects the entries' pods.
func (r *Reconciler) entries(ctx context.Context) (map[string]string, error) {
	var s corev1.Service
	key := client.ObjectKey{Namespace: r.cfg.Namespace, Name: r.cfg.EntryService}
	switch err := r.cfg.Client.Get(ctx, key, &s); {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is no Service %s that selects the entries: install the whole chart, or name it (--entry-service)", key)
	case err != nil:
		return nil, fmt.Errorf("read Service %s: %w", key, err)
	case len(s.Spec.Selector) == 0:
		return nil, fmt.Errorf("the Service %s has no selector: it must select the entries' pods", key)
	}
	return s.Spec.Selector, nil
}

// release removes the Services of a Gateway that is gone or not Eastway's, and first its addresses, if it is still there.
func (r *Reconciler) release(ctx context.Context, v *view) error {
	all := v.surplus
	if v.service != nil && removable(v.service, r.cfg.Owner) {
		all = append(all, v.service)
	}
	if v.gateway != nil && len(all) > 0 {
		if err := r.cfg.Writer.ApplyStatus(ctx, released(v.gateway)); err != nil {
			return err
		}
	}
	for _, s := range all {
		if err := r.remove(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) remove(ctx context.Context, s *corev1.Service) error {
	if !s.DeletionTimestamp.IsZero() {
		return nil
	}
	r.log.Info("the Service of a Gateway is removed", zap.Stringer("gateway", keyOf(s)), zap.String("service", s.Namespace+"/"+s.Name))
	return r.cfg.Writer.Delete(ctx, s)
}

// address writes the addresses of the Service to the Gateway's status, and reports whether there are any.
func (r *Reconciler) address(ctx context.Context, g *gatewayv1.Gateway, s *corev1.Service) (bool, error) {
	var nodes corev1.NodeList
	if s != nil && s.Spec.Type == corev1.ServiceTypeNodePort {
		if err := r.cfg.Client.List(ctx, &nodes); err != nil {
			return false, fmt.Errorf("list the nodes: %w", err)
		}
	}
	want := addresses(g, s, nodes.Items)
	if sameAddresses(want, g.Status.Addresses) {
		return len(want) > 0, nil
	}
	return len(want) > 0, r.cfg.Writer.ApplyStatus(ctx, withAddresses(g, want))
}

// problem is what the owner of a Gateway has to repair; without a text there is none.
type problem struct{ reason, text string }

// report makes a problem visible, once until it changes.
func (r *Reconciler) report(key types.NamespacedName, g *gatewayv1.Gateway, p problem) {
	if p.text == "" || g == nil {
		delete(r.said, key)
		return
	}
	if r.said[key] == p.text {
		return
	}
	r.said[key] = p.text
	text := clip.Text(p.text, maxMessage)
	r.log.Warn("a Gateway has no Service as it should be", zap.Stringer("gateway", key), zap.String("problem", text))
	if r.cfg.Events != nil {
		r.cfg.Events.Event(g, corev1.EventTypeWarning, p.reason, text)
	}
}
