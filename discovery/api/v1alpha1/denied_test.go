package v1alpha1

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestValidateDenied(t *testing.T) {
	t.Parallel()
	var own Peer
	if err := yaml.UnmarshalStrict([]byte(peerYAML), &own); err != nil {
		t.Fatal(err)
	}
	id := own.Spec.SPIFFEID
	many := strings.TrimSuffix(strings.Repeat("{serial: A}, ", MaxDenied+1), ", ")
	for _, tt := range []struct{ denied, want string }{
		{"[]", ""},
		{"[{serial: 5F3A}, {serial: '5f:3b:00'}, {spiffeID: '" + id + "'}]", ""},
		{"[{serial: " + strings.Repeat("F", 40) + "}]", ""},
		{"[{serial: " + strings.Repeat("F", 41) + "}]", "spec.denied[0].serial: Invalid value: "},
		{"[{}]", "spec.denied[0]: Required value: serial or spiffeID, not both"},
		{"[{serial: A, spiffeID: '" + id + "'}]", "spec.denied[0]: Required value: serial or spiffeID, not both"},
		{"[{serial: serial=5F}]", `spec.denied[0].serial: Invalid value: "serial=5F": must be 1 to 40 hexadecimal digits, as`},
		{"[{serial: '-5F'}]", `spec.denied[0].serial: Invalid value: "-5F": must be`},
		{"[{serial: ':5F'}]", `spec.denied[0].serial: Invalid value: ":5F": must be`},
		{"[{serial: ':'}]", `spec.denied[0].serial: Invalid value: ":": must be`},
		{"[{serial: 0A}, {serial: a}]", `spec.denied[1]: Duplicate value: "a"`},
		{"[{spiffeID: 'spiffe://x/y'}]", `spec.denied[0].spiffeID: Invalid value: "spiffe://x/y": is not this Peer's spec.spiffeID`},
		{"[" + many + "]", "spec.denied: Too many: 65: must have at most 64 items"},
	} {
		var p Peer
		if err := yaml.UnmarshalStrict([]byte(peerYAML+"  denied: "+tt.denied+"\n"), &p); err != nil {
			t.Fatalf("%s: %v", tt.denied, err)
		}
		errs := ValidatePeer(&p)
		switch {
		case tt.want == "" && len(errs) == 0:
		case tt.want == "" || len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), tt.want):
			t.Errorf("%s: %v, want %q", tt.denied, errs, tt.want)
		}
	}
}
