package v1alpha1

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestValidateExports(t *testing.T) {
	t.Parallel()
	many := strings.TrimSuffix(strings.Repeat("a/b, ", MaxServicePatterns+1), ", ")
	for _, tt := range []struct{ exports, want string }{
		{"{allow: [shop/cart, 'bank/*', '*/pay', '*/*']}", ""},
		{"{allow: ['*/*'], deny: ['kube-system/*']}", ""},
		{"{deny: ['*/*'], dryRun: true}", ""},
		{"{}", "spec.exports: Required value: allow or deny"},
		{"{dryRun: true}", "spec.exports: Required value: allow or deny"},
		{"{allow: []}", "spec.exports.allow: Required value: at least one service: leave the field out, or deny */*"},
		{"{allow: [a/b], deny: []}", "spec.exports.deny: Required value: at least one service: leave the field out, or deny */*"},
		{"{allow: [cart]}", `spec.exports.allow[0]: Invalid value: "cart": must be NAMESPACE/NAME, such as shop/cart or shop/*`},
		{"{allow: ['*']}", `spec.exports.allow[0]: Invalid value: "*": must be NAMESPACE/NAME, such as shop/cart or shop/*`},
		{"{deny: [a/b, a/b/c]}", `spec.exports.deny[1]: Invalid value: "a/b/c": must be NAMESPACE/NAME, such as shop/cart or shop/*`},
		{"{deny: ['shop/c*']}", `spec.exports.deny[0]: Invalid value: "shop/c*": * stands for a whole namespace or name, not for a part of one`},
		{"{deny: ['Shop/*']}", `spec.exports.deny[0]: Invalid value: "Shop/*": must be NAMESPACE/NAME, such as shop/cart or shop/*: a lowercase`},
		{"{deny: [/cart]}", `spec.exports.deny[0]: Invalid value: "/cart": must be NAMESPACE/NAME`},
		{"{deny: [a/b, a/b]}", `spec.exports.deny[1]: Duplicate value: "a/b"`},
		{
			"{allow: [a/b, shop/cart], deny: ['shop/*']}",
			`spec.exports.allow[1]: Invalid value: "shop/cart": deny[0], shop/*, covers it: it allows nothing; remove one of the two`,
		},
		{"{allow: ['shop/*'], deny: ['shop/*']}", `spec.exports.allow[0]: Invalid value: "shop/*": deny[0], shop/*, covers it`},
		{"{deny: [" + many + "]}", "spec.exports.deny: Too many: 257: must have at most 256 items"},
	} {
		var p Peer
		if err := yaml.UnmarshalStrict([]byte(peerYAML+"  exports: "+tt.exports+"\n"), &p); err != nil {
			t.Fatalf("%s: %v", tt.exports, err)
		}
		errs := ValidatePeer(&p)
		switch {
		case tt.want == "" && len(errs) == 0:
		case tt.want == "" || len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), tt.want):
			t.Errorf("%s: %v, want %q", tt.exports, errs, tt.want)
		}
	}
}

func TestParseExportTo(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range MaxExportTo + 1 {
		many = append(many, fmt.Sprintf("p%d", i))
	}
	for value, want := range map[string]struct {
		names []string
		err   string
	}{
		"b":                     {[]string{"b"}, ""},
		"c," + " b":             {[]string{"b", "c"}, ""},
		"*":                     {nil, ""},
		"":                      {nil, "must name Peers, separated by commas, or * for all"},
		"b,":                    {nil, "must name Peers"},
		"b,*":                   {nil, `"*" is not the name of a Peer`},
		"B":                     {nil, `"B" is not the name of a Peer`},
		"b,c,b":                 {nil, `"b" is named twice`},
		strings.Join(many, ","): {nil, "513 names of Peers, at most 512"},
	} {
		got, err := ParseExportTo(value)
		switch {
		case want.err != "":
			if err == nil || !strings.HasPrefix(err.Error(), want.err) || got == nil || len(got) > 0 {
				t.Errorf("%q: %v, %v, want %q and no Peer", value, got, err, want.err)
			}
		case err != nil || !slices.Equal(got, want.names) || (got == nil) != (want.names == nil):
			t.Errorf("%q: %v, %v", value, got, err)
		}
	}
}

func TestValidateImports(t *testing.T) {
	t.Parallel()
	for imports, want := range map[string]string{
		"{allow: ['*/*'], deny: ['shop/*']}": "",
		"{}":                                 "spec.imports: Required value: allow or deny",
		"{allow: [a/b, cart]}":               `spec.imports.allow[1]: Invalid value: "cart": must be NAMESPACE/NAME`,
	} {
		var p Peer
		if err := yaml.UnmarshalStrict([]byte(peerYAML+"  imports: "+imports+"\n"), &p); err != nil {
			t.Fatal(err)
		}
		if errs := ValidatePeer(&p); (want == "") != (len(errs) == 0) || want != "" && !strings.HasPrefix(errs[0].Error(), want) {
			t.Errorf("%s: %v, want %q", imports, errs, want)
		}
	}
}
