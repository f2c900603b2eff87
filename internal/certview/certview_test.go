package certview

import (
	"strings"
	"testing"
	"time"

	"github.com/eastway/eastway/certs"
)

func TestDescribeValidity(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		validity, want string
		from, to       time.Duration
	}{
		{"valid", "1h0m left", -time.Hour, time.Hour},
		{certs.ReasonExpired, "EXPIRED 1h0m ago", -2 * time.Hour, -time.Hour},
		{certs.ReasonNotYetValid, "NOT YET VALID for 1h0m", time.Hour, 2 * time.Hour},
	} {
		s := &Cert{Validity: c.validity, NotBefore: now.Add(c.from), NotAfter: now.Add(c.to)}
		if got := describeValidity(s, now); !strings.HasSuffix(got, c.want) {
			t.Errorf("%q lacks %q", got, c.want)
		}
	}
}
