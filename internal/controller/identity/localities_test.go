package identity

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestRegions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ nodes, want string }{
		{"", ""},
		{"eu", "eu"},
		{"us eu us", "eu us"},
		{"eu -", ""},
	} {
		var nodes []corev1.Node
		for region := range strings.FieldsSeq(tt.nodes) {
			n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}}}
			if region != "-" {
				n.Labels[corev1.LabelTopologyRegion] = region
			}
			nodes = append(nodes, n)
		}
		if got := regions(nodes); !slices.Equal(got, strings.Fields(tt.want)) {
			t.Errorf("%s: %q, want %s", tt.nodes, got, tt.want)
		}
	}
}
