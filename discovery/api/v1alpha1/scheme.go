package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// AddToScheme makes the types known to clients.
func AddToScheme(s *runtime.Scheme) error {
	gv, err := schema.ParseGroupVersion(GroupVersion)
	if err != nil {
		return err
	}
	s.AddKnownTypes(gv, &Peer{}, &PeerList{}, &TrafficPolicy{}, &TrafficPolicyList{}, &ExternalService{}, &ExternalServiceList{})
	metav1.AddToGroupVersion(s, gv)
	return nil
}
