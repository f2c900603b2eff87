package apply_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/internal/controller/apply"
)

func TestOwnedBy(t *testing.T) {
	t.Parallel()
	owner := &metav1.OwnerReference{Kind: "ClusterRole", Name: "role", UID: "new"}
	tests := map[string]struct {
		has  []metav1.OwnerReference
		by   *metav1.OwnerReference
		want bool
	}{
		"nobody's":               {nil, owner, false},
		"nobody's, as it should": {nil, nil, true},
		"ours":                   {[]metav1.OwnerReference{{UID: "other"}, *owner}, owner, true},
		"another one's of that name": {
			[]metav1.OwnerReference{{Kind: "ClusterRole", Name: "role", UID: "old"}}, owner, false,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{OwnerReferences: test.has}}
			if got := apply.OwnedBy(o, test.by); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
		})
	}
}
