package originate

import (
	"crypto/x509"
	"errors"
	"testing"

	"github.com/eastway/eastway/failover/originate/origintest"
)

// The roots of the host count where it has any; a container from scratch has none.
func TestRootsOr(t *testing.T) {
	t.Parallel()
	own := origintest.New(t).Pool()
	if got := rootsOr(own, nil); !got.Equal(own) {
		t.Error("the host's own roots are not used")
	}
	for name, got := range map[string]*x509.CertPool{
		"none": rootsOr(x509.NewCertPool(), nil), "broken": rootsOr(nil, errors.New("no access")),
	} {
		if got.Equal(x509.NewCertPool()) || got.Equal(own) {
			t.Errorf("%s: there are no well-known roots", name)
		}
	}
}
