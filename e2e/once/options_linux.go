package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
)

const (
	defaultRequests = 1_000_000 // of each method
	defaultFaults   = 200
	defaultRate     = 2500 // requests per second, a little less than two cores can do
	mostRequests    = 1 << 30
	mostFaults      = 10_000
	mostRate        = 100_000
)

// options are the command's flags.
type options struct {
	posts, gets int
	faults      int
	rate        float64
	seed        uint64
	dir         string
	json        string
	accessLog   bool
}

func parseOptions(args []string, output io.Writer) (options, error) {
	o := options{}
	flags := flag.NewFlagSet("once", flag.ContinueOnError)
	flags.SetOutput(output)
	flags.IntVar(&o.posts, "posts", defaultRequests, "`number` of POSTs")
	flags.IntVar(&o.gets, "gets", defaultRequests, "`number` of GETs")
	flags.IntVar(&o.faults, "faults", defaultFaults, "`number` of faults, spread over the requests")
	flags.Float64Var(&o.rate, "rate", defaultRate, "most `requests` per second")
	flags.Uint64Var(&o.seed, "seed", 1, "`seed` from which the faults are drawn")
	flags.StringVar(&o.dir, "dir", "", "`directory` for logs and configuration, new or empty (default a temporary one, removed after success)")
	flags.StringVar(&o.json, "json", "", "`file` for the result as JSON")
	flags.BoolVar(&o.accessLog, "access-log", false, "write the proxies' access logs, 1 KB per request, into the directory")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("arguments %q: once takes flags only; see -help", flags.Args())
	}
	err := o.validate()
	return o, err
}

func (o *options) validate() error {
	switch {
	case o.posts < 0 || o.gets < 0 || o.posts > mostRequests || o.gets > mostRequests:
		return fmt.Errorf("-posts %d, -gets %d: each is 0 to %d", o.posts, o.gets, mostRequests)
	case o.posts+o.gets == 0:
		return errors.New("-posts and -gets are 0: nothing to send")
	case o.faults < 0 || o.faults > mostFaults:
		return fmt.Errorf("-faults %d is not 0 to %d", o.faults, mostFaults)
	case o.rate < 1 || o.rate > mostRate:
		return fmt.Errorf("-rate %v is not 1 to %d", o.rate, mostRate)
	}
	return nil
}
