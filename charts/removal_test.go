package charts

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// allows reports whether one of the rules gives a right on exactly that object, and on no other.
func allows(rules []rbacv1.PolicyRule, group, resource, verb, name string) bool {
	return slices.ContainsFunc(rules, func(r rbacv1.PolicyRule) bool {
		return slices.Equal(r.APIGroups, []string{group}) && slices.Equal(r.Resources, []string{resource}) &&
			slices.Contains(r.Verbs, verb) && slices.Equal(r.ResourceNames, []string{name})
	})
}

// What the controller makes belongs to a ClusterRole of the release, which it may read, and no other one.
func TestControllerHasAnOwnerForWhatItMakes(t *testing.T) {
	t.Parallel()
	for name, values := range valueSets() {
		r := render(t, values)
		owner := r.args("controller")["owner-cluster-role"]
		if len(owner) != 1 || named[*rbacv1.ClusterRole](r)[strings.TrimPrefix(owner[0], release+"-")] == nil {
			t.Errorf("%s: --owner-cluster-role=%v is no ClusterRole of the release", name, owner)
			continue
		}
		rules := r.rules("controller")
		if !allows(rules, "rbac.authorization.k8s.io", "clusterroles", "get", owner[0]) {
			t.Errorf("%s: the controller cannot read ClusterRole %s", name, owner[0])
		}
		if !allows(rules, "coordination.k8s.io", "leases", "delete", release+"-controller") {
			t.Errorf("%s: the controller cannot give the lease an owner where that takes the right to delete it", name)
		}
		for component := range r.workloads {
			for _, rule := range r.rules(component) {
				if slices.Contains(rule.APIGroups, "rbac.authorization.k8s.io") &&
					(component != "controller" || !slices.Equal(rule.Verbs, []string{"get"}) || len(rule.ResourceNames) != 1) {
					t.Errorf("%s: %s may %v", name, component, rule)
				}
			}
		}
	}
}

// An agent asks for its DaemonSet when it ends, and takes its rules along when that is gone. Two on one node cannot be.
func TestAgentCanTellItsRemoval(t *testing.T) {
	t.Parallel()
	r := render(t, `cluster: east`)
	flags, w := r.args("node"), r.workloads["node"]
	if !slices.Equal(flags["daemonset"], []string{w.name}) {
		t.Errorf("the agent asks for DaemonSet %v, and is of %s", flags["daemonset"], w.name)
	}
	if !allows(r.rules("node"), "apps", "daemonsets", "get", w.name) {
		t.Error("the agent cannot ask for its DaemonSet")
	}
	rolling := named[*appsv1.DaemonSet](r)["node"].Spec.UpdateStrategy.RollingUpdate
	if rolling == nil || rolling.MaxSurge.String() != "0" || rolling.MaxUnavailable.String() == "0" {
		t.Errorf("agents are replaced by %+v", rolling)
	}
}

// Helm forgets hooks, and `helm test --logs` fails on one that is no pod, or that is gone: there is one pod, which stays when it has
// succeeded, belongs to the ServiceAccount then, and has the rights for that; on that pod alone.
func TestHooksLeaveNothing(t *testing.T) {
	t.Parallel()
	r := render(t, `cluster: east`)
	pod, hooks := r.workloads["test"], 0
	for _, o := range r.all {
		if hook := o.GetAnnotations()["helm.sh/hook"]; hook == "" {
			continue
		} else if r.kinds[o] != "Pod" || o.GetName() != pod.name || hook != "test" {
			t.Errorf("%s %s is a hook (%s)", r.kinds[o], o.GetName(), hook)
		}
		if policy := o.GetAnnotations()["helm.sh/hook-delete-policy"]; policy != "before-hook-creation,hook-failed" {
			t.Errorf("%s %s is deleted on %s", r.kinds[o], o.GetName(), policy)
		}
		hooks++
	}
	if hooks != 1 {
		t.Errorf("%d hooks", hooks)
	}
	account := named[*corev1.ServiceAccount](r)["test"]
	if args := r.args("test")["test-pod"]; account == nil || !slices.Equal(args, []string{account.Name}) || account.Name != pod.name {
		t.Errorf("--test-pod=%v of pod %s, and account %+v", args, pod.name, account)
	}
	rules := r.rules("test")
	for _, right := range [][2]string{{"pods", "patch"}, {"pods", "delete"}, {"serviceaccounts", "get"}} {
		if !allows(rules, "", right[0], right[1], pod.name) {
			t.Errorf("the pod cannot %s %s %s", right[1], right[0], pod.name)
		}
	}
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			reads := verb == "get" || verb == "list"
			own := slices.Equal(rule.ResourceNames, []string{pod.name})
			if !reads && !own && !slices.Equal(rule.Resources, []string{"pods/portforward"}) {
				t.Errorf("the rights stay with the release, and are more than to read: %v", rule)
			}
		}
	}
}

// Nothing is kept on purpose.
func TestHelmKeepsNothing(t *testing.T) {
	t.Parallel()
	for name, values := range valueSets() {
		if strings.Contains(render(t, values).text, "helm.sh/resource-policy") {
			t.Errorf("%s: something has a resource policy", name)
		}
	}
}
