package lab

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// kubeletSettings are for a kubelet among the processes of a computer that is not only its.
func (n *Node) kubeletSettings() map[string]any {
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1",
		"kind":       "KubeletConfiguration",
		"authentication": map[string]any{
			"x509":      map[string]any{"clientCAFile": inEtc("ca.crt")},
			"anonymous": map[string]any{"enabled": false},
		},
		"tlsCertFile":              inEtc("kubelet.crt"),
		"tlsPrivateKeyFile":        inEtc("kubelet.key"),
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"clusterDomain":            "cluster.local",
		"address":                  n.cluster.families[0].anywhere().Addr().String(),
		"clusterDNS":               []string{n.cluster.families[0].network().dns.String()},
		"resolvConf":               "/dev/null", // there is no internet but the lab's
		"cgroupDriver":             "cgroupfs",
		"cgroupsPerQOS":            false, // no cgroups of the computer are to be set up
		"enforceNodeAllocatable":   []string{},
		"failSwapOn":               false,
		"failCgroupV1":             false,
		// The computer's disk and memory are not the node's business.
		"evictionHard": map[string]string{
			"memory.available": "1Mi", "nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%", "imagefs.inodesFree": "0%",
		},
		"imageGCHighThresholdPercent":               100,
		"localStorageCapacityIsolation":             false,
		"makeIPTablesUtilChains":                    false,
		"nodeLeaseDurationSeconds":                  leaseSeconds,
		"serializeImagePulls":                       false,
		"shutdownGracePeriod":                       "0s",
		"oomScoreAdj":                               0,
		"syncFrequency":                             "10s",
		"configMapAndSecretChangeDetectionStrategy": "Watch",
	}
}

// containerdSettings is its configuration file.
func (n *Node) containerdSettings(cni string) string {
	return fmt.Sprintf(`version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.internal.v1.restart",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = %q
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %q
  restrict_oom_score_adj = true # works without CAP_SYS_RESOURCE
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = %q
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %q
    conf_dir = %q
`, containerdSocket, pauseImage, snapshotter(), cni, inEtc("cni"))
}

// snapshotter works on the file system that labs are on: overlayfs does not on itself.
func snapshotter() string {
	var info unix.Statfs_t
	if err := unix.Statfs(Base, &info); err == nil && info.Type == unix.OVERLAYFS_SUPER_MAGIC {
		return "native"
	}
	return "overlayfs"
}

// networkSettings give the node's pods their addresses.
func (n *Node) networkSettings() map[string]any {
	var ranges, routes []any
	for _, f := range n.cluster.families {
		ranges = append(ranges, []any{map[string]any{"subnet": f.nodePods(n.index).String()}})
		routes = append(routes, map[string]any{"dst": f.anywhere().String()})
	}
	return map[string]any{
		"cniVersion": "1.0.0",
		"name":       "lab",
		"plugins": []any{
			// Not the plugin bridge: calls to a service on the same node would need
			// the computer's br_netfilter.
			map[string]any{
				"type": "ptp", "mtu": mtu,
				"ipam": map[string]any{
					"type":    "host-local",
					"dataDir": "/run/cni",
					"ranges":  ranges,
					"routes":  routes,
				},
			},
			map[string]any{"type": "portmap", "capabilities": map[string]any{"portMappings": true}},
		},
	}
}

// masquerade is the node's own nftables rules: what leaves it for anything but
// pods carries its address.
func (n *Node) masquerade() string {
	var text strings.Builder
	for _, f := range n.cluster.families {
		text.WriteString(strings.NewReplacer("FAMILY", f.nft(), "PODS", f.network().pods.String()).Replace(`table FAMILY lab {
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		oifname "` + devNode + `" FAMILY saddr PODS FAMILY daddr != PODS masquerade
	}
}
`))
	}
	return text.String()
}

// writeFiles makes all files of the node.
func (n *Node) writeFiles(ca *authority) error {
	c := n.cluster
	etc := c.lab.etc(n.Name)
	cni, err := cniFolder()
	if err != nil {
		return err
	}
	hosts := []string{n.Name}
	for _, f := range c.families {
		hosts = append(hosts, n.address(f).String())
	}
	serving, err := ca.issue("kubelet "+n.Name, nil, hosts...)
	if err != nil {
		return err
	}
	if err := serving.write(etc, "kubelet"); err != nil {
		return err
	}
	for _, one := range []struct {
		daemon, user string
		groups       []string
	}{
		{Kubelet, "system:node:" + n.Name, []string{"system:nodes"}},
		{KubeProxy, "system:kube-proxy", nil},
	} {
		user, err := c.access(ca, one.user, one.groups...)
		if err != nil {
			return err
		}
		if err := writeKubeconfig(filepath.Join(etc, one.daemon+".kubeconfig"), user); err != nil {
			return err
		}
	}
	settings, err := json.MarshalIndent(n.kubeletSettings(), "", "  ")
	if err != nil {
		return fmt.Errorf("lab: encode the settings of kubelet: %w", err)
	}
	network, err := json.MarshalIndent(n.networkSettings(), "", "  ")
	if err != nil {
		return fmt.Errorf("lab: encode the settings of pods' networks: %w", err)
	}
	for name, text := range map[string]string{
		"ca.crt":           string(ca.bundle()),
		"kubelet.json":     string(settings),
		"containerd.toml":  n.containerdSettings(cni),
		"cni/lab.conflist": string(network),
		"masquerade.nft":   n.masquerade(),
	} {
		if err := writeFile(filepath.Join(etc, name), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}
