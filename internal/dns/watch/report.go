package watch

import (
	"time"
)

// Report is what `eastway dns explain` shows.
type Report struct {
	Names []NameReport `json:"names"`
	// Problems are those of manifests, lookups and limits.
	Problems []string `json:"problems,omitempty"`
}

// NameReport is about one GlobalName.
type NameReport struct {
	Name     string `json:"name"`
	Strategy string `json:"strategy"`
	TTL      uint32 `json:"ttlSeconds"`
	// Panic: nothing is in, so that all addresses that may live are answered.
	Panic bool `json:"panic"`
	// PanicFamily is the family of which nothing is in: IPv4, IPv6, or both.
	PanicFamily string        `json:"panicFamily,omitempty"`
	Entries     []EntryReport `json:"entries"`
}

// EntryReport is about one entry.
type EntryReport struct {
	Cluster  string `json:"cluster"`
	Region   string `json:"region,omitempty"`
	Weight   int    `json:"weight"`
	Hostname string `json:"hostname,omitempty"`
	// DataPlane is UNKNOWN, CAN_SERVE or CANNOT_SERVE.
	DataPlane       string          `json:"dataPlane"`
	DataPlaneReason string          `json:"dataPlaneReason,omitempty"`
	Addresses       []AddressReport `json:"addresses"`
}

// AddressReport is about one address.
type AddressReport struct {
	Address string `json:"address"`
	In      bool   `json:"in"`
	// Answered: clients get it, some of them at least. With the strategy failover an address may be in, and not answered.
	Answered bool   `json:"answered"`
	Reason   string `json:"reason"`
	// Since is when it came in or went out.
	Since    time.Time `json:"since"`
	LastGood time.Time `json:"lastGood"` // zero: never
}

// Report describes all names, or the one; false: there is none of that name.
func (b *Board) Report(now time.Time, name string) (Report, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := Report{Problems: b.problemsLocked()}
	for _, n := range b.names {
		if name == "" || n.spec.Name == name {
			out.Names = append(out.Names, n.report(now))
		}
	}
	return out, name == "" || len(out.Names) > 0
}

func (n *nameState) report(now time.Time) NameReport {
	out := NameReport{Name: n.spec.Name, Strategy: n.spec.Spec.Strategy, TTL: n.served.TTL, Panic: n.panic != "", PanicFamily: n.panic}
	answered := n.chooser.Load().Answered()
	for _, e := range n.entries {
		v := e.judge.Verdict()
		er := EntryReport{
			Cluster: e.spec.Cluster, Region: e.spec.Region, Weight: *e.spec.Weight, Hostname: e.spec.Hostname,
			DataPlane: v.Verdict.String(), DataPlaneReason: v.Reason,
		}
		for _, a := range e.judge.Addresses(now) {
			er.Addresses = append(er.Addresses, AddressReport{
				Address: a.Addr.String(), In: a.In, Answered: answered[a.Addr], Reason: a.Reason, Since: a.Since, LastGood: a.LastGood,
			})
		}
		out.Entries = append(out.Entries, er)
	}
	return out
}
