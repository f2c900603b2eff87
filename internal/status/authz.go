package status

// Authorization is what `eastway authz explain` shows: whether a peer may call a service.
type Authorization struct {
	Peer      string `json:"peer"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Allowed   bool   `json:"allowed"`
	// Missing is what was named and is not there: "Peer NAME" or "Service NAMESPACE/NAME"; empty: nothing.
	Missing string `json:"missing,omitempty"`
	// Rule decides: not-exported, no-peer, export-to, exported, or a field below the Peer's spec.
	Rule string `json:"rule"`
	// DryRun is the rule that would deny it without its dry run; empty: none.
	DryRun string `json:"dryRun,omitempty"`
	// Reason is the rule in a sentence.
	Reason string `json:"reason"`
}
