// Command pack writes Eastway's container images (`make image`): packages the
// binaries that it is given. Images go into a directory, never to a registry.
package main

import (
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/eastway/eastway/internal/image"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	o := image.Options{Binaries: make(map[string]string)}
	flags := flag.NewFlagSet("pack", flag.ContinueOnError)
	flags.StringVar(&o.Version, "version", "", "`tag` of the images (required)")
	flags.StringVar(&o.Revision, "revision", "", "`commit` that was built")
	created := flags.Int64("created", 0, "date of everything in the images, in `seconds` since 1970: that of the commit (required)")
	dir := flags.String("output", "bin/image", "`directory` to write to")
	flags.Func("binary", "`ARCH=PATH` of a static binary; once for each architecture (required)", func(s string) error {
		arch, path, found := strings.Cut(s, "=")
		if !found {
			return fmt.Errorf("%q is not ARCH=PATH", s)
		}
		o.Binaries[arch] = path
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *created > 0 {
		o.Created = time.Unix(*created, 0)
	}
	digest, err := image.Write(o, *dir)
	if err != nil {
		return err
	}
	for _, arch := range slices.Sorted(maps.Keys(o.Binaries)) {
		fmt.Fprintf(out, "%s\n", image.ArchivePath(*dir, arch))
	}
	fmt.Fprintf(out, "%s  %s:%s@%s\n", image.LayoutPath(*dir), image.Repository, o.Version, digest)
	return nil
}
