package machine

// Op is an operation of a machine's first process.
type Op string

// The operations.
const (
	OpStart  Op = "start"  // start Request.Daemon
	OpSignal Op = "signal" // send Request.Signal to the daemon Request.Daemon.Name
	OpWait   Op = "wait"   // answer when the daemon has ended
	OpList   Op = "list"   // answer with all daemons
)

// Daemon is a program that runs in a machine.
type Daemon struct {
	// Name is unique in the machine; DIR/log/NAME.log gets what the daemon prints.
	Name string
	// Args are the program, found in Path, and its arguments.
	Args []string
	// Env is added to PATH and HOME, which are all that it gets otherwise.
	Env []string `json:",omitempty"`
}

// Request is sent as one JSON document over a connection of its own to
// ControlSocket, and answered by one Response.
type Request struct {
	Op     Op
	Daemon Daemon
	Signal int `json:",omitempty"`
}

// Response answers a Request.
type Response struct {
	Error   string   `json:",omitempty"`
	Daemons []Status `json:",omitempty"`
}

// Status of a daemon.
type Status struct {
	Name    string
	PID     int // in the machine's PID namespace
	Running bool
	// Ended says how, when it is not running: "exit status 1", "signal: killed".
	Ended string `json:",omitempty"`
}

const (
	// InitName is the name by which the first process calls itself, and is found.
	InitName = "eastway-lab-init"
	// Path is where daemons look for programs: those that the lab brings first.
	Path = "/run/machine/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// Etc is where a machine sees the folder DIR/etc.
	Etc = "/run/machine"

	// ControlSocket in the machine's directory takes requests.
	ControlSocket = "control.sock"
	// Folders of the machine's directory.
	LogFolder, LibFolder, EtcFolder = "log", "lib", "etc"
	binFolder                       = EtcFolder + "/bin"
)
