package wire

import (
	"slices"

	"github.com/eastway/eastway/tunnel/tunnelpb"
)

// Names in Hello.features. What a peer has not named is not asked of it: the release before may not know it.
const (
	// LargeData: takes data records of up to MaxData bytes.
	LargeData = "large-data"
	// DoneAgain: says done again after the other side's done, with heard_done.
	DoneAgain = "done-again"
)

// Features are those of this release.
func Features() []string { return []string{LargeData, DoneAgain} }

// SaysDoneAgain is true for the sender of a Hello that has DoneAgain.
func SaysDoneAgain(h *tunnelpb.Hello) bool { return slices.Contains(h.GetFeatures(), DoneAgain) }

// DataLimit is the largest data record that the sender of a Hello takes, in bytes.
func DataLimit(h *tunnelpb.Hello) int {
	if slices.Contains(h.GetFeatures(), LargeData) {
		return MaxData
	}
	return SmallData
}
