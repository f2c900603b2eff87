package charts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/eastway/eastway/internal/kubecli"
	"github.com/eastway/eastway/internal/kubecli/check"
)

// spare are rights that the chart gives beside what a component cannot do without: all of a verb, or one.
var spare = map[kubecli.Component][]string{
	kubecli.Proxy: {"get"}, // for people who look for what is wrong as the proxy
	kubecli.Controller: {
		"get", "update", // what is listed is not read one by one, and everything is written by server-side apply, which is a patch
		"patch /secrets/ " + release + "-ca in " + namespace,
		"create events.k8s.io/events/ all in all", "patch events.k8s.io/events/ all in all", // the newer API of the same objects
		"patch coordination.k8s.io/leases/ " + release + "-controller in " + namespace,
		"delete coordination.k8s.io/leases/ " + release + "-controller in " + namespace, // see the chart
	},
}

// `eastway check` asks for exactly the rights that the chart gives.
func TestRightsAreThoseThatAreChecked(t *testing.T) {
	t.Parallel()
	r := render(t, `cluster: east`)
	for _, component := range []kubecli.Component{kubecli.Controller, kubecli.Proxy, kubecli.Node} {
		given := make(map[string]bool) // whether it was asked for
		clusterRole, role := named[*rbacv1.ClusterRole](r)[string(component)], named[*rbacv1.Role](r)[string(component)]
		if clusterRole != nil {
			rightsOf(given, "", clusterRole.Rules)
		}
		if role != nil {
			rightsOf(given, namespace, role.Rules)
		}
		checked := check.Rights(component, namespace, release)
		for i := range checked {
			a := &checked[i]
			key := rightKey(a)
			if _, ok := given[key]; !ok {
				t.Errorf("%s: check asks for what the chart does not give: %s", component, key)
			}
			given[key] = true
		}
		for key, asked := range given {
			verb, _, _ := strings.Cut(key, " ")
			if !asked && !slices.Contains(spare[component], verb) && !slices.Contains(spare[component], key) {
				t.Errorf("%s: the chart gives what check does not ask for: %s", component, key)
			}
		}
	}
}

func rightsOf(given map[string]bool, namespace string, rules []rbacv1.PolicyRule) {
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, a := range product(rule.APIGroups, rule.Resources, rule.Verbs, names) {
			resource, sub, _ := strings.Cut(a[1], "/")
			given[rightKey(&authorizationv1.ResourceAttributes{
				Namespace: namespace, Group: a[0], Resource: resource, Subresource: sub, Verb: a[2], Name: a[3],
			})] = false
		}
	}
}

// product of lists: each of one with each of the others.
func product(lists ...[]string) [][]string {
	all := [][]string{nil}
	for _, list := range lists {
		var longer [][]string
		for _, begun := range all {
			for _, word := range list {
				longer = append(longer, append(slices.Clone(begun), word))
			}
		}
		all = longer
	}
	return all
}

func rightKey(a *authorizationv1.ResourceAttributes) string {
	return fmt.Sprintf("%s %s/%s/%s %s in %s", a.Verb, a.Group, a.Resource, a.Subresource, cmp.Or(a.Name, "all"), cmp.Or(a.Namespace, "all"))
}

// Users who may view the whole cluster see Peers, which hold no secrets; a namespace's users cannot write any.
func TestUsersAndPeers(t *testing.T) {
	t.Parallel()
	roles := named[*rbacv1.ClusterRole](render(t, `cluster: east`))
	verbs := func(role string) (out []string) {
		for _, rule := range roles[role].Rules {
			if slices.Contains(rule.Resources, "peers") {
				out = append(out, rule.Verbs...)
			}
		}
		return out
	}
	if got := verbs("view"); !slices.Equal(got, []string{"get", "list", "watch"}) ||
		roles["view"].Labels[rbacv1.GroupName+"/aggregate-to-view"] != "true" {
		t.Errorf("view has the rights %q to Peers", got)
	}
	if got := verbs("edit"); len(got) > 0 {
		t.Errorf("edit has the rights %q to Peers", got)
	}
}
