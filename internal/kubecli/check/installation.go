package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/internal/kubecli"
)

// zoneLabel of nodes.
const zoneLabel = "topology.kubernetes.io/zone"

// installed ends the checks without an installation.
func (f *facts) installed(ctx context.Context) []Result {
	proxies, err := f.getProxies(ctx)
	if err != nil {
		return one(unknown(err))
	}
	controllers, err := f.getControllers(ctx)
	if err != nil {
		return one(unknown(err))
	}
	if len(proxies)+len(controllers) == 0 {
		// Without pods, but with what should make them, it is installed: the next checks say why there are none.
		if made, err := f.getWorkload(ctx, kubecli.Proxy); err != nil || made == nil {
			remedy, missing := f.cluster.Missing(ctx)
			return one(fail("%v", missing).hint("%s", remedy))
		}
	}
	return one(ok("release %s in namespace %s", f.cluster.Release, f.cluster.Namespace))
}

func (f *facts) controller(ctx context.Context) []Result {
	pods, err := f.getControllers(ctx)
	if err != nil {
		return one(unknown(err))
	}
	return f.pods(ctx, pods, kubecli.Controller)
}

func (f *facts) proxiesReady(ctx context.Context) []Result {
	pods, err := f.getProxies(ctx)
	if err != nil {
		return one(unknown(err))
	}
	results := f.pods(ctx, pods, kubecli.Proxy)
	if len(pods) == 1 {
		results = append(results, warn("there is one proxy only: without it no call to a peer is answered").
			hint("give the chart proxy.replicas: 2 or more"))
	}
	return results
}

// pods judges those of a Deployment: one that is ready is enough for now.
func (f *facts) pods(ctx context.Context, pods []corev1.Pod, component kubecli.Component) []Result {
	made, err := f.getWorkload(ctx, component)
	if err != nil {
		made = nil // its pods say enough
	}
	if len(pods) == 0 {
		return one(noPods(f.cluster, made, component))
	}
	var results []Result
	ready := 0
	for i := range pods {
		switch p := &pods[i]; {
		case kubecli.Ready(p):
			ready++
		case p.DeletionTimestamp == nil:
			results = append(results, warn("pod %s %s", p.Name, kubecli.Problem(p)).
				hint("kubectl -n %s describe pod %s; kubectl -n %s logs %s", p.Namespace, p.Name, p.Namespace, p.Name))
		}
	}
	if made != nil && made.Problem != "" {
		results = append(results, warn("%s: %d of %d pods are of its present template: %s", made, made.Updated, made.Wanted, made.Problem).
			hint("%s", refusedHint(f.cluster.Namespace, made)))
	}
	if ready == 0 {
		for i := range results {
			results[i].Level = Failed
		}
		return append(one(fail("no %s pod is ready, of %d", component, len(pods)).
			hint("kubectl -n %s get events --sort-by=.lastTimestamp", f.cluster.Namespace)), results...)
	}
	return append(one(ok("%d of %s ready", ready, count(len(pods), string(component)+" pod", string(component)+" pods"))), results...)
}

// noPods is why a component has none.
func noPods(cluster *kubecli.Cluster, made *kubecli.Workload, component kubecli.Component) Result {
	kubectl := "kubectl -n " + cluster.Namespace
	switch {
	case made == nil:
		return fail("release %s has no %s pods in namespace %s", cluster.Release, component, cluster.Namespace).hint("helm upgrade brings them back")
	case made.Wanted == 0:
		return fail("%s is scaled to 0", made).hint("%s scale %s/%s --replicas=2", kubectl, strings.ToLower(made.Kind), made.Name)
	case made.Problem != "":
		return fail("%s has no pods: %s", made, made.Problem).hint("%s", refusedHint(cluster.Namespace, made))
	}
	return fail("%s has no pods yet", made).hint("%s describe %s %s", kubectl, strings.ToLower(made.Kind), made.Name)
}

// refusedHint is what to do about a workload that does not get its pods.
func refusedHint(namespace string, made *kubecli.Workload) string {
	describe := fmt.Sprintf("kubectl -n %s describe %s %s", namespace, strings.ToLower(made.Kind), made.Name)
	switch {
	case strings.Contains(made.Problem, "exceeded quota"):
		return fmt.Sprintf("raise the quota (kubectl -n %s describe resourcequota); the pods come by themselves then", namespace)
	case strings.Contains(made.Problem, "violates PodSecurity"):
		return fmt.Sprintf("label namespace %s for pods that need more: pod-security.kubernetes.io/enforce=privileged", namespace)
	case strings.Contains(made.Problem, "admission webhook"), strings.Contains(made.Problem, "ValidatingAdmissionPolicy"),
		strings.Contains(made.Problem, "failed calling webhook"):
		return "have that webhook or policy admit the pods, or leave this namespace out: " + describe
	}
	return describe + " and its pods; 'kubectl rollout undo' goes back to the template that worked"
}

func (f *facts) leader(ctx context.Context) []Result {
	lease, err := f.cluster.Leader(ctx)
	switch {
	case errors.Is(err, kubecli.ErrNotFound):
		return one(fail("no controller has ever led: there is no lease %s-controller", f.cluster.Release).
			hint("kubectl -n %s logs -l app.kubernetes.io/component=controller", f.cluster.Namespace))
	case err != nil:
		return one(unknown(err))
	}
	spec := &lease.Spec
	if spec.HolderIdentity == nil || *spec.HolderIdentity == "" || spec.RenewTime == nil || spec.LeaseDurationSeconds == nil {
		return one(warn("no controller leads at the moment"))
	}
	age := time.Since(spec.RenewTime.Time)
	// Twice: the clocks may differ a little.
	if age > 2*time.Duration(*spec.LeaseDurationSeconds)*time.Second {
		return one(fail("no controller leads: %s did, and last renewed its lease %s ago", *spec.HolderIdentity, left(age)).
			hint("kubectl -n %s logs -l app.kubernetes.io/component=controller", f.cluster.Namespace))
	}
	return one(ok("%s leads", *spec.HolderIdentity))
}

func (f *facts) zones(ctx context.Context) []Result {
	nodes, err := f.getNodes(ctx)
	if err != nil {
		return one(unknown(err))
	}
	ready, err := f.ready(ctx)
	if err != nil {
		return one(unknown(err))
	}
	return spread(f.cluster, nodes, ready)
}

// spread judges where the ready proxies are.
func spread(c *kubecli.Cluster, nodes []corev1.Node, ready []corev1.Pod) []Result {
	zoneOf, all := map[string]string{}, []string{}
	for i := range nodes {
		zone := nodes[i].Labels[zoneLabel]
		zoneOf[nodes[i].Name] = zone
		if zone != "" && !slices.Contains(all, zone) {
			all = append(all, zone)
		}
	}
	slices.Sort(all)
	if node, together := onOneNode(ready, nodes); together {
		return one(spreadAgain(c, warn("all %d proxies are on node %s: without it no call to a peer is answered", len(ready), node)))
	}
	if len(all) == 0 {
		return one(warn("no node has the label %s: calls cannot prefer their own zone", zoneLabel).
			hint("label the nodes, also with topology.kubernetes.io/region"))
	}
	without := slices.DeleteFunc(slices.Clone(all), func(zone string) bool {
		return slices.ContainsFunc(ready, func(p corev1.Pod) bool { return zoneOf[p.Spec.NodeName] == zone })
	})
	switch {
	case len(ready) == 0:
		return one(skip("no proxy is ready"))
	case len(without) == 0:
		return one(ok("proxies in every zone: %s", and(all)))
	case len(all)-len(without) < 2:
		problem := warn("all proxies are in one zone; %s without", and(without))
		if len(ready) > 1 {
			return one(spreadAgain(c, problem))
		}
		return one(problem.hint("raise proxy.replicas, or see proxy.spread.zones of the chart"))
	default:
		return one(ok("proxies in %d of %d zones; without: %s", len(all)-len(without), len(all), and(without)))
	}
}

// onOneNode: all of several proxies are on that node, although another one could have some.
func onOneNode(ready []corev1.Pod, nodes []corev1.Node) (node string, together bool) {
	if len(ready) < 2 {
		return "", false
	}
	node = ready[0].Spec.NodeName
	elsewhere := func(p corev1.Pod) bool { return p.Spec.NodeName != node }
	usable := func(n corev1.Node) bool { return n.Name != node && !n.Spec.Unschedulable && len(n.Spec.Taints) == 0 }
	return node, !slices.ContainsFunc(ready, elsewhere) && slices.ContainsFunc(nodes, usable)
}

// spreadAgain: Kubernetes moves no pod that runs, also when the node that it came from is back.
func spreadAgain(c *kubecli.Cluster, r Result) Result {
	return r.hint("kubectl -n %s rollout restart deployment/%s-proxy starts them apart: running ones stay where a lost node has led them",
		c.Namespace, c.Release)
}

func (f *facts) versions(ctx context.Context) []Result {
	statuses, err := f.getStatuses(ctx)
	if err != nil {
		return one(unknown(err))
	}
	var found []string
	for i := range statuses {
		if s := &statuses[i]; s.err == nil && !slices.Contains(found, s.status.Version) {
			found = append(found, s.status.Version)
		}
	}
	switch {
	case len(found) == 0:
		return one(skip("no proxy reported its version"))
	case len(found) > 1:
		return one(warn("proxies run different versions: %s", and(found)).
			hint("an upgrade is under way, or stuck: kubectl -n %s rollout status deployment", f.cluster.Namespace))
	case found[0] != f.options.Version:
		return one(warn("proxies are %s, this command is %s", found[0], f.options.Version).
			hint("use the eastway command of the release that is installed"))
	}
	return one(ok("proxies and this command are %s", found[0]))
}

// errors are the configuration errors that proxies report.
func (f *facts) errors(ctx context.Context) []Result {
	statuses, err := f.getStatuses(ctx)
	if err != nil {
		return one(unknown(err))
	}
	var results []Result
	for i := range statuses {
		s := &statuses[i]
		if s.err != nil {
			results = append(results, unknown(s.err))
		}
		for _, e := range s.status.Errors {
			results = append(results, warn("proxy %s: %s", s.pod.Name, e))
		}
	}
	if len(results) == 0 && len(statuses) > 0 {
		return one(ok("no proxy reports an error"))
	}
	if len(results) == 0 {
		return one(skip("no proxy is ready"))
	}
	return results
}
