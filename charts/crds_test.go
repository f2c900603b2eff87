package charts

import (
	"os"
	"path/filepath"
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
