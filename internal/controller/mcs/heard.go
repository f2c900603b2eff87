package mcs

import (
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/eastway/eastway/discovery"
)

// heardAnnotation on an import is when this cluster first heard of each peer's export: PEER=TIME[,PEER=TIME…]. What a peer says of the age of
// its export is believed only as far as that: else a peer that claims 1970 would decide over exports that were here before.
const heardAnnotation = "eastway.dev/first-heard"

// firstHeard is when this cluster first heard of the export of each peer that has one. Of an import that an earlier release made,
// which has no record, it is when that was created.
func (s *state) firstHeard(own *discovery.Export, now time.Time) map[string]time.Time {
	var known map[string]time.Time
	var first time.Time
	if i := s.serviceImport; i != nil && ours(i) {
		if text, recorded := i.Annotations[heardAnnotation]; recorded {
			known = parseHeard(text)
		} else if peers := s.remembered(""); len(peers) > 0 {
			first = i.CreationTimestamp.Time
			known = map[string]time.Time{}
			for _, p := range peers {
				known[p] = first
			}
		}
	}
	out := make(map[string]time.Time, len(s.peers))
	for i := range s.peers {
		peer := s.peers[i].Peer
		at, ok := known[peer]
		switch {
		case ok:
		case own == nil: // one that is made later in the same second is younger
			at = now.Add(-time.Second)
		case own.Created.After(now): // whatever the clocks say, it was here before
			at = own.Created
		default:
			at = now
		}
		out[peer] = at.UTC().Truncate(time.Second)
	}
	return out
}

// recordHeard writes it down at the import.
func recordHeard(i *mcsv1beta1.ServiceImport, heard map[string]time.Time) {
	if len(heard) == 0 {
		return
	}
	out := make([]string, 0, len(heard))
	for _, peer := range slices.Sorted(maps.Keys(heard)) {
		out = append(out, peer+"="+heard[peer].Format(time.RFC3339))
	}
	metav1.SetMetaDataAnnotation(&i.ObjectMeta, heardAnnotation, strings.Join(out, ","))
}

// parseHeard leaves out what it does not understand: that is heard of again.
func parseHeard(text string) map[string]time.Time {
	out := map[string]time.Time{}
	for part := range strings.SplitSeq(text, ",") {
		peer, at, _ := strings.Cut(part, "=")
		if t, err := time.Parse(time.RFC3339, at); err == nil {
			out[peer] = t
		}
	}
	return out
}
