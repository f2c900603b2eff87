package wire

import (
	"slices"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// Names in Hello.features. What a peer has not named is not asked of it: the release before may not know it.
const (
	// LargeData: takes data records of up to MaxData bytes.
	LargeData = "large-data"
)

// Features are those of this release.
func Features() []string { return []string{LargeData} }

// DataLimit is the largest data record that the sender of a Hello takes, in bytes.
func DataLimit(h *tunnelpb.Hello) int {
	if slices.Contains(h.GetFeatures(), LargeData) {
		return MaxData
	}
	return SmallData
}
