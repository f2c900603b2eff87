package charts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// Rights on kinds that do not exist are rights on nothing, and nothing would notice before the process does.
func TestRightsAreOnKindsThatExist(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	dir := filepath.Join(chart, "crds")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		var crd struct {
			Spec struct {
				Group    string
				Names    struct{ Plural string }
				Versions []struct {
					Subresources struct{ Status *struct{} }
				}
			}
		}
		if err := yaml.Unmarshal(read(t, dir, file.Name()), &crd); err != nil {
			t.Fatalf("%s: %v", file.Name(), err)
		}
		name := crd.Spec.Group + "/" + crd.Spec.Names.Plural
		known[name] = true
		known[name+"/status"] = crd.Spec.Versions[0].Subresources.Status != nil
	}
	for role, r := range named[*rbacv1.ClusterRole](render(t, `cluster: east`)) {
		for _, rule := range r.Rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					ours := strings.HasPrefix(group, "eastway.") || strings.HasPrefix(group, "multicluster.")
					if ours && !known[group+"/"+resource] {
						t.Errorf("ClusterRole %s: there is no %s/%s among the CRDs", role, group, resource)
					}
				}
			}
		}
	}
}

// A Peer of a release before these fields stays valid, and the API server writes nothing into it: what is absent is decided by Eastway alone.
func TestPeersNeedNoNewFields(t *testing.T) {
	t.Parallel()
	type schema struct {
		Default    any
		Required   []string
		Properties map[string]schema
		Items      *schema
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct{ OpenAPIV3Schema schema }
			}
		}
	}
	if err := yaml.Unmarshal(read(t, chart, "crds", "eastway.dev_peers.yaml"), &crd); err != nil {
		t.Fatal(err)
	}
	spec := crd.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"]
	if !slices.Equal(spec.Required, []string{"spiffeID", "trustBundle"}) {
		t.Errorf("required are %q", spec.Required)
	}
	var unset func(at string, s schema)
	unset = func(at string, s schema) {
		if s.Default != nil {
			t.Errorf("%s has the default %v", at, s.Default)
		}
		for name, p := range s.Properties {
			unset(at+"."+name, p)
		}
		if s.Items != nil {
			unset(at+"[]", *s.Items)
		}
	}
	for _, name := range []string{"exports", "imports", "quota", "localities", "denied"} {
		p, ok := spec.Properties[name]
		if !ok {
			t.Errorf("there is no spec.%s", name)
		}
		unset("spec."+name, p)
	}
}
