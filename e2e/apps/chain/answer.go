package chain

import (
	"fmt"
	"regexp"
	"strings"
)

// Hop is one application's part of an answer.
type Hop struct {
	Name string `json:"name"`
	Zone string `json:"zone"` // its version
	IP   string `json:"ip"`
}

func (h Hop) String() string {
	return fmt.Sprintf("-> %s(version: %s, ip: %s)", h.Name, h.Zone, h.IP)
}

// maxHops of one answer; no chain of a test is longer.
const maxHops = 16

// Parse reads the hops of an answer, in order.
func Parse(answer string) []Hop {
	pattern := regexp.MustCompile(`-> ([a-z0-9-]+)\(version: ([a-z0-9-]+), ip: ([0-9a-f.:]+)\)`)
	var hops []Hop
	for _, m := range pattern.FindAllStringSubmatch(answer, maxHops) {
		hops = append(hops, Hop{Name: m[1], Zone: m[2], IP: m[3]})
	}
	return hops
}

// Names are those of the hops, joined: "mocka mockb mockc".
func Names(hops []Hop) string {
	names := make([]string, len(hops))
	for i, h := range hops {
		names[i] = h.Name
	}
	return strings.Join(names, " ")
}
