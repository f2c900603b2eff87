package route

// Compile makes a Table of all that is valid, and says about each object what is.
func Compile(_ *Manifests) (*Table, *Status) { return &Table{}, &Status{} }
