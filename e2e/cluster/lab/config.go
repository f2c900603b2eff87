package lab

import (
	"fmt"
	"io"
	"regexp"
)

// Config of a lab. The zero value is two clusters of two nodes.
type Config struct {
	// Name distinguishes labs of one computer; empty: DefaultName. Tests take the
	// name of their package.
	Name string
	// Clusters, 1 to 6; 0: 2. They are called cluster-1 and so on.
	Clusters int
	// Nodes of each cluster, 1 to 8; 0: 2. Zones take turns.
	Nodes int
	// KubeProxyMode is "nftables" or "iptables"; empty: "nftables".
	KubeProxyMode string
	// IPFamilies of cluster-1 and so on: IPv4, IPv6 or DualStack. Those it does not name have IPv4.
	IPFamilies []string `json:",omitempty"`
	// EmulatedVersion is the older version whose behavior the control plane
	// shows, such as 1.32, if it is not its own (Kubernetes' --emulated-version).
	EmulatedVersion string `json:",omitempty"`
	// WithoutClusterset leaves the zone clusterset.local out of CoreDNS, as it is
	// in clusters whose owner has not added it yet. The CRDs of the
	// multi-cluster services API are installed anyway.
	WithoutClusterset bool
	// MetricsServer runs it in each cluster, for autoscalers and kubectl top. It
	// serves when it has asked the kubelets twice, half a minute later, which Up
	// does not wait for.
	MetricsServer bool
	// Replace takes down a lab of this name that is up or was left behind;
	// without it, one that is up is an error.
	Replace bool
	// Keep leaves a lab that could not be brought up as it is, to be looked into.
	Keep bool
	// Programs is the cache of programs; empty: the user's (see package binaries).
	Programs string `json:",omitempty"`
	// Progress gets what is going on, in lines; nil: none.
	Progress io.Writer `json:"-"`
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = DefaultName
	}
	if c.Clusters == 0 {
		c.Clusters = 2
	}
	if c.Nodes == 0 {
		c.Nodes = 2
	}
	if c.KubeProxyMode == "" {
		c.KubeProxyMode = "nftables"
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	return c
}

// namePattern leaves room for the path of a machine's socket.
const namePattern = `^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$`

// versionPattern is Kubernetes' major and minor version.
const versionPattern = `^1\.[0-9]{2}$`

// Validate names the field that is wrong.
func (c Config) Validate() error {
	c = c.withDefaults()
	if !regexp.MustCompile(namePattern).MatchString(c.Name) {
		return fmt.Errorf("lab: Config.Name is %q, must be up to 32 small letters, digits and '-'", c.Name)
	}
	if c.Clusters < 1 || c.Clusters > maxClusters {
		return fmt.Errorf("lab: Config.Clusters is %d, must be 1 to %d", c.Clusters, maxClusters)
	}
	if c.Nodes < 1 || c.Nodes > maxNodes {
		return fmt.Errorf("lab: Config.Nodes is %d, must be 1 to %d", c.Nodes, maxNodes)
	}
	if c.KubeProxyMode != "nftables" && c.KubeProxyMode != "iptables" {
		return fmt.Errorf("lab: Config.KubeProxyMode is %q, must be nftables or iptables", c.KubeProxyMode)
	}
	if c.EmulatedVersion != "" && !regexp.MustCompile(versionPattern).MatchString(c.EmulatedVersion) {
		return fmt.Errorf("lab: Config.EmulatedVersion is %q, must be like 1.32", c.EmulatedVersion)
	}
	if len(c.IPFamilies) > c.Clusters {
		return fmt.Errorf("lab: Config.IPFamilies names %d clusters, Config.Clusters is %d", len(c.IPFamilies), c.Clusters)
	}
	for i, f := range c.IPFamilies {
		if stacks()[f] == nil {
			return fmt.Errorf("lab: Config.IPFamilies[%d] is %q, must be %s, %s or %s", i, f, IPv4, IPv6, DualStack)
		}
	}
	return nil
}

// place is where a cluster pretends to be.
type place struct {
	region string
	zones  []string
}

// placeOf cluster number i, from 0 on: distant ones first.
func placeOf(i int) place {
	suffixes := func(region, separator string, letters ...string) place {
		p := place{region: region}
		for _, letter := range letters {
			p.zones = append(p.zones, region+separator+letter)
		}
		return p
	}
	places := []place{
		suffixes("cn-hangzhou", "-", "h", "k"),
		suffixes("ap-northeast-1", "", "a", "b"),
		suffixes("cn-shanghai", "-", "b", "g"),
		suffixes("eu-central-1", "", "a", "b"),
		suffixes("us-west-1", "", "a", "b"),
		suffixes("ap-southeast-1", "", "a", "b"),
	}
	return places[i%len(places)]
}
