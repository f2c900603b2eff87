package ratelimit

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/eastway/eastway/discovery/api/v1alpha1"
)

// The second call of a minute is beyond a limit of one.
func ExampleLimits() {
	limits := New(func() int { return 1 })
	limits.Set(&v1alpha1.RateLimit{Rules: []v1alpha1.RateLimitRule{{Quota: 1, FillInterval: metav1.Duration{Duration: time.Minute}}}})
	call := &Call{Cluster: "west"}
	now := time.Unix(0, 0)
	fmt.Println(limits.Matching(call).Take(now))
	fmt.Println(limits.Matching(call).Take(now))
	// Output:
	// 0s
	// 1m0s
}
