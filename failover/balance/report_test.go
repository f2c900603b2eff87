package balance

import (
	"slices"
	"testing"

	"github.com/eastway/eastway/discovery"
	"github.com/eastway/eastway/internal/status"
)

// Endpoints of an ExternalService have one level wherever they are: those of the proxy's region come first all the same.
func TestNearestFirst(t *testing.T) {
	t.Parallel()
	want := []status.Endpoint{
		{Address: "10.0.0.9:80", Port: 80, Region: "r1", Zone: "z1", Level: levelZone},
		{Address: "10.0.0.3:80", Port: 80, Region: "r1", Level: levelRegion},
		{Address: "10.0.0.1:80", Port: 80, Region: "r2", Level: levelRegion},
		{Address: "10.0.0.2:80", Port: 80, Level: levelRegion},
		{Address: "10.0.0.0:81", Port: 81, Region: "r1", Zone: "z1", Level: levelZone},
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	if sortNearest(got, discovery.Locality{Region: "r1", Zone: "z1"}); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
