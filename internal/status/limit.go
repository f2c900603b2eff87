package status

// Limit is how much of something is in use, and how much there may be.
type Limit struct {
	Name string `json:"name"`
	Used int    `json:"used"` // of one that is per listener, or per peer: 0
	Most int    `json:"most"`
}
