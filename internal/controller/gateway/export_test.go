package gateway

// Within replaces the range of the entries' ports.
func (r *Reconciler) Within(first, last uint16) { r.within = span{first, last} }
