package charts

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
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

// Helm forgets hooks: what `helm test` makes must not be there after it, however it ends.
func TestHooksLeaveNothing(t *testing.T) {
	t.Parallel()
	hooks := 0
	r := render(t, `cluster: east`)
	for _, o := range r.all {
		if o.GetAnnotations()["helm.sh/hook"] == "" {
			continue
		}
		hooks++
		policy := strings.Split(o.GetAnnotations()["helm.sh/hook-delete-policy"], ",")
		for _, when := range []string{"before-hook-creation", "hook-succeeded", "hook-failed"} {
			if !slices.Contains(policy, when) {
				t.Errorf("%s %s is deleted on %v, not on %s", r.kinds[o], o.GetName(), policy, when)
			}
		}
	}
	if hooks == 0 {
		t.Error("there is no hook")
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
