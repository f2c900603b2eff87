package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/admin"
	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/status"
)

// errNoPort: there is an import, and nothing that leads to it.
var errNoPort = errors.New("the controller has not given it a port on the proxies")

// notImported is why a service cannot be called.
func (f *calling) notImported(ctx context.Context, target *Target) Result {
	name := target.Namespace + "/" + target.Service
	export := fmt.Sprintf("eastway export %s -n %s", target.Service, target.Namespace)
	peers := f.exporters(ctx, target)
	switch _, err := f.cluster.Service(ctx, target.Namespace, target.Service); {
	case errors.Is(err, kubecli.ErrNoNamespace) && len(peers) > 0:
		return fail("%s exports %s, and it is not imported: this cluster has no namespace %s", and(peers), name, target.Namespace).
			hint("kubectl create namespace %s", target.Namespace)
	case errors.Is(err, kubecli.ErrNoNamespace):
		return fail("there is no service %s: this cluster has no namespace %s, and no cluster that is connected exports one",
			name, target.Namespace).hint("is the name right? in the cluster that has it: %s", export)
	case err == nil:
		return fail("%s is a Service of this cluster, and not imported: no cluster exports it", name).
			hint("Eastway carries exported services only: %s, here or in a peer", export)
	case errors.Is(err, kubecli.ErrNotFound) && f.leavesOut(ctx, target) != "":
		return fail("%s is not imported: %s", name, f.leavesOut(ctx, target)).
			hint("if it may be used, change spec.imports of the Peer; if that peer exports it, it is imported at once")
	case errors.Is(err, kubecli.ErrNotFound):
		return fail("there is no service %s: no Service of that name here, and no cluster that is connected exports one", name).
			hint("in the cluster that has it: %s", export)
	default:
		return fail("%s is not imported: there is no such ServiceImport", name).hint("in the cluster that has it: %s", export)
	}
}

// leavesOut is which rule of a Peer keeps the service from being imported, if that peer exports it; "" if there is none.
func (f *calling) leavesOut(ctx context.Context, target *Target) string {
	peers, err := f.getPeers(ctx)
	if err != nil {
		return ""
	}
	for i := range peers {
		if allowed, rule := peers[i].Spec.Imports.Decide(target.Namespace, target.Service); !allowed {
			return fmt.Sprintf("spec.imports.%s of Peer %s leaves it out", rule, peers[i].Name)
		}
	}
	return ""
}

// exporters are the peers that export the service as a proxy knows it, whether it is imported or not.
func (f *calling) exporters(ctx context.Context, target *Target) (peers []string) {
	ready, err := f.ready(ctx)
	if err != nil || len(ready) == 0 {
		return nil
	}
	var places []status.Endpoint
	if f.cluster.QueryPod(ctx, ready[0].Name, func(_ *corev1.Pod, client *admin.Client) error {
		found, err := client.Endpoints(ctx, target.Namespace, target.Service)
		places = found.Endpoints
		return err
	}) != nil {
		return nil
	}
	own, err := f.getOwn(ctx)
	for i := range places {
		if err != nil || places[i].Cluster != own.Peer.Name {
			peers = append(peers, places[i].Cluster)
		}
	}
	slices.Sort(peers)
	return slices.Compact(peers)
}

// why finds the cause of a failed call; false if it is unknown. The proxy that should have carried the call knows it: the error
// here, from the kubelet or through it, is only that the connection ended.
func (f *calling) why(ctx context.Context, imported *kubecli.ServiceImport, target *Target, err error) (Result, bool) {
	logs := fmt.Sprintf("kubectl -n %s logs", f.cluster.Namespace)
	ready, failed := f.ready(ctx)
	switch {
	case errors.Is(err, kubecli.ErrForbidden), errors.Is(err, kubecli.ErrUnreachable), failed != nil: // the call got to no proxy
		return Result{}, false
	case len(ready) == 0:
		return fail("call %s: no proxy is ready to take the call", target).hint("see the proxies above"), true
	case errors.Is(err, errNoPort):
		return fail("call %s: %v", target, err).hint("%s -l app.kubernetes.io/component=controller", logs), true
	}
	proxy := &ready[0]
	closed, refused := f.closed(ctx, proxy, imported, target, err)
	places, failed := f.places(ctx, proxy, imported, target)
	switch {
	case errors.Is(failed, admin.ErrNoService):
		return fail("call %s: proxy %s does not know the service", target, proxy.Name).
			hint("if it was exported a moment ago, try again; else see the proxies' errors above"), true
	case failed != nil:
		return closed, refused
	case len(places) == 0:
		return fail("call %s: it has no endpoint in any cluster", target).
			hint("where it is exported (%s): kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s",
				and(imported.Clusters), target.Namespace, target.Service), true
	}
	if cause, known := f.judge(ctx, proxy, target, places, err); known {
		return cause, true
	}
	return closed, refused
}

// closed is that the proxy does not listen: it does so only for a service that an endpoint could serve.
func (f *calling) closed(ctx context.Context, proxy *corev1.Pod, imported *kubecli.ServiceImport, target *Target, err error) (Result, bool) {
	if f.options.InPod || !strings.Contains(err.Error(), "connection refused") {
		return Result{}, false
	}
	if f.vacant(ctx, proxy.Name, target) {
		return fail("call %s: proxy %s does not listen for it, since no endpoint of %s takes connections", target, proxy.Name,
			and(imported.Clusters)).hint("there: do the pods listen at the Service's targetPort? 'eastway endpoints %s/%s' shows each",
			target.Namespace, target.Service), true
	}
	return fail("call %s: proxy %s does not listen for it", target, proxy.Name).
		hint("if it was exported a moment ago, try again; else kubectl -n %s logs %s", f.cluster.Namespace, proxy.Name), true
}

// vacant reports whether the proxy has closed its listeners for the service, because nothing can serve it.
func (f *calling) vacant(ctx context.Context, proxy string, target *Target) bool {
	statuses, err := f.getStatuses(ctx)
	return err == nil && slices.ContainsFunc(statuses, func(p proxyStatus) bool {
		return p.pod.Name == proxy && slices.ContainsFunc(p.status.Services, func(s admin.ServiceStatus) bool {
			return s.Namespace == target.Namespace && s.Name == target.Service && len(s.Vacant) > 0
		})
	})
}

// places are where the proxy may send calls under the imported name: endpoints of this cluster only if it exports them.
func (f *calling) places(
	ctx context.Context, proxy *corev1.Pod, imported *kubecli.ServiceImport, target *Target,
) (places []status.Endpoint, err error) {
	err = f.cluster.QueryPod(ctx, proxy.Name, func(_ *corev1.Pod, client *admin.Client) error {
		found, err := client.Endpoints(ctx, target.Namespace, target.Service)
		places = found.Endpoints
		return err
	})
	own, unknown := f.getOwn(ctx)
	return slices.DeleteFunc(places, func(e status.Endpoint) bool {
		local := unknown == nil && e.Cluster == own.Peer.Name
		return e.Port != target.Port || local && !slices.Contains(imported.Clusters, e.Cluster)
	}), err
}

// isReady is true for an endpoint that Kubernetes, or its cluster, calls ready, though nothing may listen there.
func isReady(e *status.Endpoint) bool {
	return e.Status == status.Healthy || e.Status == status.FailedProbes
}

// judge returns what is wrong with each place; false if the service may have ended the call itself.
func (f *calling) judge(ctx context.Context, proxy *corev1.Pod, target *Target, places []status.Endpoint, err error) (Result, bool) {
	var unreachable, outside, unhealthy, unready, ejected []string
	usable := 0
	for i := range places {
		switch e := &places[i]; {
		case e.Status == status.Unreachable:
			unreachable = append(unreachable, e.Cluster)
		case e.Status == status.OutOfScope:
			outside = append(outside, e.Cluster)
		case e.Status == status.FailedActiveHC:
			unhealthy = append(unhealthy, e.Address)
		case !isReady(e):
			unready = append(unready, e.Cluster)
		case e.OutlierCheck == status.CheckFailed, e.OutlierCheck == status.CheckProbing:
			ejected = append(ejected, e.Address)
		default:
			usable++
		}
	}
	if usable > 0 {
		if !strings.Contains(err.Error(), "reset") {
			return Result{}, false
		}
		return fail("call %s through proxy %s: it was reset, though %s", target, proxy.Name, count(usable, "place looks", "places look")+" healthy").
			hint("the proxy's access log lists the attempts and their errors: kubectl -n %s logs %s --tail=20",
				proxy.Namespace, proxy.Name), true
	}
	var problems []string
	add := func(names []string, problem string) {
		if slices.Sort(names); len(names) > 0 {
			problems = append(problems, fmt.Sprintf(problem, and(slices.Compact(names))))
		}
	}
	add(unreachable, "%s cannot be reached")
	add(outside, "the TrafficPolicy's scope leaves out %s")
	add(unhealthy, "%s fails the health check of the TrafficPolicy")
	add(unready, "no endpoint in %s is ready")
	add(ejected, "%s refused or did not answer several times, and is left out for a while")
	cause := fail("call %s: no endpoint can take it: %s", target, strings.Join(problems, "; "))
	switch {
	case len(unreachable) > 0:
		return cause.hint("%s", f.reachHint(ctx, unreachable[0])), true
	case len(unready) > 0:
		return cause.hint("there: kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s", target.Namespace, target.Service), true
	case len(unhealthy)+len(ejected) == 0:
		return cause.hint("widen spec.scope of the TrafficPolicy for %s/%s, or add endpoints inside it", target.Namespace, target.Service), true
	default:
		return cause.hint("'eastway endpoints %s/%s' shows why, and until when", target.Namespace, target.Service), true
	}
}

// reachHint is what to do about a peer.
func (f *calling) reachHint(ctx context.Context, peer string) string {
	peers, err := f.getPeers(ctx)
	at := slices.IndexFunc(peers, func(p v1alpha1.Peer) bool { return p.Name == peer })
	if err != nil || at < 0 {
		return "see 'eastway status'"
	}
	return peerHint(&peers[at])
}

// portNames are port numbers as strings.
func portNames(ports []int32) []string {
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = strconv.Itoa(int(p))
	}
	return names
}
