package follow_test

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/eastway/eastway/internal/follow"
)

// Failures of one kind are apart from an API server that is away.
func ExampleFailure_Away() {
	gateways := schema.GroupResource{Group: "gateway.networking.k8s.io", Resource: "gateways"}
	for _, err := range []error{apierrors.NewForbidden(gateways, "", errors.New("no rule")), errors.New("connection refused")} {
		f := follow.Failure{Verb: "list", Err: err}
		fmt.Println(f.Away(), f.Reason())
	}
	// Output:
	// false gateways.gateway.networking.k8s.io is forbidden: no rule
	// true connection refused
}
