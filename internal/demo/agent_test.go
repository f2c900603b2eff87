package demo

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	const (
		ok = iota
		notReady
		refused
		timeout
	)
	for name, tc := range map[string]struct {
		probes []int
		want   bool // after the last one
	}{
		"none":                          {nil, false},
		"one success":                   {[]int{ok}, false},
		"two in a row":                  {[]int{ok, ok}, true},
		"not in a row":                  {[]int{ok, refused, ok}, false},
		"killed":                        {[]int{ok, ok, refused}, false},
		"back after one success":        {[]int{ok, ok, refused, ok}, false},
		"back":                          {[]int{ok, ok, refused, ok, ok}, true},
		"draining":                      {[]int{ok, ok, notReady}, false},
		"one late answer":               {[]int{ok, ok, timeout}, true},
		"silent":                        {[]int{ok, ok, timeout, timeout}, false},
		"late twice, but not in a row":  {[]int{ok, ok, timeout, ok, timeout}, true},
		"silent from the beginning":     {[]int{timeout, ok}, false},
		"goes on after it was silent":   {[]int{ok, ok, timeout, timeout, ok, ok}, true},
		"refused after one late answer": {[]int{ok, ok, timeout, refused}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h health
			for _, p := range tc.probes {
				var err error
				switch p {
				case refused:
					err = errors.New("connection refused")
				case timeout:
					err = os.ErrDeadlineExceeded
				}
				h.judge(p == ok, err)
			}
			if h.ready != tc.want {
				t.Errorf("ready: %v", h.ready)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	c := newTopology(80).cluster(homeCluster)
	h, k := c.zones[0], c.zones[1]
	for name, tc := range map[string]struct {
		home  zone
		ready []string
		want  []string // addresses of mockb
	}{
		"all":                 {h, []string{"h-proxy-1", "h-proxy-2", "k-proxy-1", "k-proxy-2"}, []string{"127.80.1.22:8000", "127.80.1.32:8000"}},
		"one of the own zone": {h, []string{"h-proxy-2", "k-proxy-1", "k-proxy-2"}, []string{"127.80.1.32:8000"}},
		"the other zone's":    {h, []string{"k-proxy-1", "k-proxy-2"}, []string{"127.80.2.22:8000", "127.80.2.32:8000"}},
		"the last one":        {k, []string{"h-proxy-2"}, []string{"127.80.1.32:8000"}},
		"none":                {k, nil, []string{"127.80.2.12:8000"}}, // mockb itself
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := routesTo(nearest(c, tc.home, func(process string) bool {
				return slices.Contains(tc.ready, process[len("cn-hangzhou-"):])
			}), tc.home)
			var got []string
			for _, to := range r[roleMockb] {
				got = append(got, to.String())
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	r := routes{
		roleMocka: {netip.MustParseAddrPort("127.80.1.21:8000"), netip.MustParseAddrPort("127.80.1.31:8000")},
		roleMockb: {netip.MustParseAddrPort("127.80.1.22:8000")},
	}
	path := filepath.Join(t.TempDir(), "routes")
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	got, err := parseRoutes(r.String())
	if err != nil || !reflect.DeepEqual(got, r) || !got.equal(r) {
		t.Errorf("got %v, %v", got, err)
	}
	used := make(map[string]bool)
	for len(used) < len(r[roleMocka]) { // both get calls, sooner or later
		to, err := lookup(path, roleMocka)
		if err != nil {
			t.Fatal(err)
		}
		used[to] = true
	}
	if to, err := lookup(path, roleMockc); err == nil {
		t.Errorf("a service without a route leads to %s", to)
	}
	if to, err := lookup(filepath.Join(t.TempDir(), "none"), roleMocka); err == nil {
		t.Errorf("a file that is not there leads to %s", to)
	}
	if _, err := parseRoutes("mocka localhost:80\n"); err == nil {
		t.Error("a name passed as an address")
	}
	if r.equal(routes{roleMocka: r[roleMocka]}) {
		t.Error("routes are equal without one of their services")
	}
}
