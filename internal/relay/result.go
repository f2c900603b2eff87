package relay

// String is how it ended, as in the access log: "client closed", "server reset".
func (r Result) String() string {
	switch r.How {
	case Closed:
		return r.By.String() + " closed"
	case Reset:
		return r.By.String() + " reset"
	case Broken:
		return r.By.String() + " lost"
	case Idle:
		return "idle"
	default:
		return "stopped"
	}
}

func (s Side) String() string {
	switch s {
	case Client:
		return "client"
	case Server:
		return "server"
	default:
		return "neither"
	}
}
