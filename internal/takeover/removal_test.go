package takeover

import (
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestRemoved(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Group: "apps", Resource: "daemonsets"}
	going := metav1.NewTime(time.Unix(1, 0))
	tests := []struct {
		name string
		ds   *appsv1.DaemonSet
		err  error
		want bool
	}{
		{"upgrade", &appsv1.DaemonSet{}, nil, false},
		{"going", &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &going}}, nil, true},
		{"gone", nil, apierrors.NewNotFound(resource, "x"), true},
		{"rights are gone", nil, apierrors.NewForbidden(resource, "x", nil), true},
		{"account is gone", nil, apierrors.NewUnauthorized("x"), true},
		{"API server is away", nil, errors.New("connection refused"), false},
		{"API server is overloaded", nil, apierrors.NewTooManyRequests("x", 1), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := fake.NewClientset()
			client.PrependReactor("get", "daemonsets", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, tt.ds, tt.err
			})
			if got := Removed(t.Context(), client, system, "eastway-node"); got != tt.want {
				t.Errorf("Removed = %v, want %v", got, tt.want)
			}
		})
	}
}
