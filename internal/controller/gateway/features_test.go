package gateway

import (
	"slices"
	"testing"

	"go.uber.org/goleak"
	"sigs.k8s.io/gateway-api/pkg/features"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSupportedFeatures(t *testing.T) {
	t.Parallel()
	const maxFeatures = 64 // in a class's status
	all := SupportedFeatures()
	if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) || len(all) > maxFeatures {
		t.Errorf("%d features, they must be in order, each once: %v", len(all), all)
	}
	known := make(map[features.FeatureName]bool)
	for f := range features.AllFeatures {
		known[f.Name] = true
	}
	for _, name := range all {
		if !known[name] {
			t.Errorf("there is no feature %s", name)
		}
	}
	if got := supported(); len(got) != len(all) || string(got[0].Name) != string(all[0]) {
		t.Errorf("%v", got)
	}
}
