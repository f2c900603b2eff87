package v1alpha1

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestValidateLocalities(t *testing.T) {
	t.Parallel()
	many := make([]string, MaxPeerLocalities+1)
	for i := range many {
		many[i] = fmt.Sprint("r", i)
	}
	for localities, want := range map[string]string{
		"[eu-west, us/us-1]":                "",
		"[]":                                "",
		"[" + strings.Join(many, ",") + "]": "spec.localities: Too many: 65",
		"[eu/*]":                            `spec.localities[0]: Invalid value: "eu/*": must be REGION or REGION/ZONE`,
		"[eu, a/b/c]":                       `spec.localities[1]: Invalid value: "a/b/c": must be REGION or REGION/ZONE`,
		"['']":                              "spec.localities[0]: Invalid value",
		"[eu, us, eu]":                      "spec.localities[2]: Duplicate value",
	} {
		var p Peer
		if err := yaml.UnmarshalStrict([]byte(peerYAML+"  localities: "+localities+"\n"), &p); err != nil {
			t.Fatal(err)
		}
		if errs := ValidatePeer(&p); (want == "") != (len(errs) == 0) || want != "" && !strings.HasPrefix(errs[0].Error(), want) {
			t.Errorf("%s: %v, want %q", localities, errs, want)
		}
	}
}
