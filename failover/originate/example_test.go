package originate_test

import (
	"fmt"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/failover/originate"
	"github.com/eastway/eastway/internal/hashtrie"
)

// Files that cannot be read are for an operator to see before any call needs them.
func Example() {
	name := discovery.ServiceName{Namespace: "shop", Name: "mydb"}
	spec := &discovery.TLS{Service: name, Mode: "SIMPLE", Host: "mydb.com", CAFile: "/nowhere/ca.crt"}
	origins := originate.New(originate.Config{})
	origins.Apply(&discovery.Snapshot{
		Services: hashtrie.Map[discovery.ServiceName, *discovery.Service]{}.With(name, &discovery.Service{
			Name: name, External: &discovery.External{Hosts: []string{"mydb.com"}, TLS: spec},
		}),
	})
	for _, p := range origins.Problems() {
		fmt.Println(p)
	}
	// Output: ExternalService shop/mydb: spec.tls: stat /nowhere/ca.crt: no such file or directory; no connection can be made
}
