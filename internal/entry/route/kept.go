package route

import (
	"crypto/x509"

	"k8s.io/apimachinery/pkg/types"
)

// Kept is what a Table takes over from the one before: the last good certificate of each Secret that is still there. A port that is served must
// not close because a certificate was replaced by one that its key does not fit. The zero value has none; it is for one goroutine.
type Kept struct {
	good  map[types.NamespacedName]*Certificate
	pools map[string]*x509.CertPool // by the text of the certificates
}

// Compile is the function Compile, with what is kept.
func (k *Kept) Compile(in *Manifests) (*Table, *Status) {
	c := newCompiler(in, k)
	table, status := c.compile()
	for name, cert := range k.good {
		if _, read := c.good[name]; !read && c.secrets[name] != nil {
			c.good[name] = cert
		}
	}
	k.good, k.pools = c.good, c.tls.pools
	return table, status
}
