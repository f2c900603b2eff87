package certs_test

import (
	"fmt"
	"time"

	"github.com/eastway/eastway/certs"
)

// A cluster's CA issues the identity that all its proxies carry.
func ExampleNewCA() {
	td, err := certs.DefaultTrustDomain("cn-hangzhou")
	if err != nil {
		fmt.Println(err)
		return
	}
	ca, err := certs.NewCA(certs.Options{TrustDomain: td})
	if err != nil {
		fmt.Println(err)
		return
	}
	svid, err := ca.Issue("cn-hangzhou", time.Hour)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(svid.ID)
	fmt.Println(certs.ClusterName(svid.ID))
	// Output:
	// spiffe://cn-hangzhou.eastway.internal/eastway/cluster/cn-hangzhou
	// cn-hangzhou <nil>
}
