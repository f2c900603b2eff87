package manifest_test

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
	"github.com/eastway/eastway/internal/manifest"
)

func TestMistyped(t *testing.T) {
	t.Parallel()
	for want, all := range map[string]map[string]bool{
		"Service": {
			"Service": true, "service": true, "Servise": true, "Sevrice": true, "Services": true, "Servic": true, "Secret": false, "": false,
		},
		"ServiceExport": {"ServiceExprot": true, "ServiceImport": false, "Service": false},
		"Peer":          {"Peers": true, "Pear": true, "eer": true, "Pod": false, "Node": false},
		"":              {"": true, "apps": false},
	} {
		for got, same := range all {
			if manifest.Mistyped(got, want) != same {
				t.Errorf("%q for %q: %t, want %t", got, want, !same, same)
			}
		}
	}
}

// A field that is not there is named with the one that was probably meant.
func TestUnknownField(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"spec: {clusterIp: 10.0.0.1}":           "spec.clusterIp: unknown field, perhaps clusterIP is meant",
		"spec: {ports: [{tagretPort: 1}]}":      "spec.ports[0].tagretPort: unknown field, perhaps targetPort is meant",
		"metadata: {labls: {}}":                 "metadata.labls: unknown field, perhaps labels is meant",
		"Kind: A":                               "Kind: unknown field, perhaps kind is meant",
		"color: red":                            "color: unknown field",
		"spec: {sessionAffinityConfig: {x: 1}}": "spec.sessionAffinityConfig.x: unknown field",
	} {
		errs := manifest.Read("", []byte(text))[0].Decode(&corev1.Service{})
		if len(errs) != 1 {
			t.Errorf("%s: %v", text, errs)
			continue
		}
		if unknown, ok := errors.AsType[*manifest.UnknownFieldError](errs[0]); !ok || (unknown.Near != "") != strings.Contains(want, "perhaps") {
			t.Errorf("%s: %+v", text, unknown)
		}
		if at, _ := errors.AsType[*manifest.Error](errs[0]); at.Field+": "+at.Error() != want {
			t.Errorf("%s: %s: %v, want %s", text, at.Field, at, want)
		}
	}
	errs := manifest.Read("", []byte("spec: {timeout: {x: 1}}"))[0].Decode(&v1alpha1.TrafficPolicy{})
	if len(errs) != 1 {
		t.Fatal(errs)
	}
	if _, ok := errors.AsType[*manifest.UnknownFieldError](errs[0]); ok {
		t.Errorf("a wrong type: %v", errs)
	}
}
