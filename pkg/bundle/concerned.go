package bundle

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// all collects everything and gives the flat directories.
func (c *collector) all() (flat []string) {
	for _, k := range layout.Kinds() {
		if k != layout.User && k != layout.PkiPath {
			c.place(layout.Place{Kind: k})
		}
	}
	c.daemon("/etc/libvirt/libvirtd.conf")
	c.daemon("/etc/libvirt/virtproxyd.conf")
	for _, n := range c.names("/etc/libvirt") {
		if k := conf.KindOf(n); k.Daemon() && strings.HasSuffix(n, ".conf") {
			c.daemon(join("/etc/libvirt", n))
		}
	}
	c.qemu("/etc/libvirt/qemu.conf")
	flat = append(flat, c.client("/etc/libvirt/libvirt.conf")...)
	homes := append([]string{"/root"}, c.o.Homes...)
	for _, h := range c.list("/home") {
		homes = append(homes, "/home/"+h)
	}
	sort.Strings(homes)
	for _, h := range slices.Compact(homes) {
		c.place(layout.Place{Kind: layout.User, Dir: h})
		c.add(join(h, ".pki/cacert.pem"), exists)
		flat = append(flat, c.client(join(h, ".config/libvirt/libvirt.conf"))...)
		c.daemon(join(h, ".config/libvirt/libvirtd.conf"))
	}
	flat = append(flat, c.o.PKIPaths...)
	sort.Strings(flat)
	flat = slices.Compact(flat)
	for _, dir := range flat {
		c.place(layout.Place{Kind: layout.PkiPath, Dir: dir})
	}
	c.units()
	c.add("/etc/sasl2/libvirt.conf", saslFile)
	c.add("/etc/os-release", publicFile)
	c.add("/etc/hostname", publicFile)
	for _, name := range []string{"/usr/sbin/libvirtd", "/usr/sbin/virtproxyd", "/usr/bin/virsh", "/run/dbus/system_bus_socket", "/run/systemd/system",
		"/sys/fs/selinux/enforce", "/etc/selinux/config"} {
		c.add(name, exists)
	}
	for _, dir := range libraryDirs {
		for _, d := range []string{dir + "/sasl2", dir + "/libvirt/connection-driver"} {
			for _, n := range c.list(d) {
				c.add(join(d, n), exists)
			}
		}
	}
	return flat
}

// libraryDirs are where libraries and plug-ins lie.
var libraryDirs = []string{"/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/arm-linux-gnueabihf",
	"/usr/lib/powerpc64le-linux-gnu", "/usr/lib/riscv64-linux-gnu", "/usr/lib/s390x-linux-gnu", "/usr/lib/i386-linux-gnu", "/usr/lib64", "/usr/lib"}

// place collects a layout's files, of both roles and with all indexes.
func (c *collector) place(p layout.Place) {
	for _, item := range p.Items(certs.Server, certs.Client) {
		what := pemFile
		switch item.Part {
		case layout.Directory:
			what = exists
		case layout.Key:
			what = keyFile
		}
		c.credentials[item.Path] = true
		c.add(item.Path, what)
	}
	for _, role := range []certs.Role{certs.Server, certs.Client} {
		for _, f := range p.Indexed(role) {
			c.add(f.Cert, pemFile)
			c.add(f.Key, keyFile)
		}
	}
}

// conf collects a configuration file and reads it; nil when it is not there or cannot be read.
func (c *collector) conf(name string) *conf.File {
	text := c.add(name, confFile)
	if text == nil {
		return nil
	}
	f, err := conf.Parse(text, name)
	if err != nil {
		return nil
	}
	return f
}

// daemon collects a daemon's configuration and the files that it names.
func (c *collector) daemon(name string) {
	f := c.conf(name)
	if f == nil {
		return
	}
	services := false
	for e := range f.Entries() {
		what := pemFile
		switch e.Key {
		case "key_file", "key_files", "tls_key_file", "tls_key_files":
			what = keyFile
		case "cert_file", "cert_files", "ca_file", "crl_file":
		case "tls_port", "tcp_port":
			services = services || strings.Trim(e.Value.Text, "0123456789") != ""
			continue
		default:
			continue
		}
		for _, file := range texts(e.Value) {
			c.credentials[file] = true
			c.add(file, what)
		}
	}
	if services {
		c.add("/etc/services", publicFile)
	}
}

// texts gives the string of a value, or those of a list.
func texts(v conf.Value) []string {
	if list, ok := v.Strings(); ok {
		return list
	}
	return []string{v.Text}
}

// qemu collects qemu.conf and the directories that it names.
func (c *collector) qemu(name string) {
	f := c.conf(name)
	if f == nil {
		return
	}
	for e := range f.Entries() {
		dir := e.Value.Text
		if !strings.HasSuffix(e.Key, "_tls_x509_cert_dir") || !strings.HasPrefix(dir, "/") {
			continue
		}
		c.add(dir, exists)
		// The names are those of QEMU's own directory.
		standard := layout.Place{Kind: layout.QEMU}
		there := func(name string, what part) { c.add(join(dir, path.Base(name)), what) }
		for _, role := range []certs.Role{certs.Server, certs.Client} {
			for _, f := range append([]layout.Paths{standard.Paths(role)}, standard.Indexed(role)...) {
				there(f.CA, pemFile)
				there(f.CRL, pemFile)
				there(f.Cert, pemFile)
				there(f.Key, keyFile)
			}
		}
	}
}

var aliasPKIPath = regexp.MustCompile(`[?&]pkipath=([^&]*)`)

// client collects a libvirt.conf, and gives the directories that the pkipath parameters in it name.
func (c *collector) client(name string) (flat []string) {
	text := c.add(name, confFile)
	if text == nil {
		return nil
	}
	f, err := conf.Parse(text, name)
	if err != nil {
		return nil
	}
	for e := range f.Entries() {
		for _, s := range texts(e.Value) {
			for _, m := range aliasPKIPath.FindAllStringSubmatch(s, -1) {
				if path.IsAbs(m[1]) && path.Clean(m[1]) != "/" {
					flat = append(flat, path.Clean(m[1]))
				}
			}
		}
	}
	return flat
}

// unitDirs are where systemd looks for units (systemd.unit(5)).
var unitDirs = []string{"/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient", "/run/systemd/generator.early",
	"/etc/systemd/system", "/etc/systemd/system.attached", "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system", "/run/systemd/generator.late"}

var (
	ourUnit         = regexp.MustCompile(`^(libvirt|virt(proxy|qemu|log|lock|network|storage|secret|interface|nodedev|nwfilter|xen|lxc|vbox|bhyve|ch)d)[a-z0-9@.-]*$`)
	ourDaemon       = regexp.MustCompile(`libvirtd|virtproxyd`)
	configFile      = regexp.MustCompile(`(?:--config[= ]|-f *)["']?(/[^\s"']+)`)
	conditionPath   = regexp.MustCompile(`(?m)^[ \t]*(?:Condition|Assert)(?:Path|Directory|File)[A-Za-z]*[ \t]*=[ \t]*\|?!?(/\S+)`)
	environmentFile = regexp.MustCompile(`(?m)^[ \t]*EnvironmentFile[ \t]*=[ \t]*-?(/\S+)`)
)

// units collects the units of libvirt's daemons, what switches them on, and their argument files.
func (c *collector) units() {
	arguments := []string{"/etc/default/libvirtd", "/etc/default/virtproxyd", "/etc/sysconfig/libvirtd", "/etc/sysconfig/virtproxyd",
		"/etc/conf.d/libvirtd", "/etc/conf.d/virtproxyd", "/etc/default/libvirt-bin"}
	configured := func(text []byte) {
		for _, m := range configFile.FindAllSubmatch(text, -1) {
			c.daemon(string(m[1]))
		}
	}
	unit := func(name string) {
		text := c.add(name, unitFile)
		configured(text)
		for _, m := range conditionPath.FindAllSubmatch(text, -1) {
			c.add(string(m[1]), exists)
		}
		for _, m := range environmentFile.FindAllSubmatch(text, -1) {
			arguments = append(arguments, string(m[1]))
		}
	}
	for _, dir := range unitDirs {
		for _, name := range c.list(dir) {
			full := join(dir, name)
			switch ext := path.Ext(name); {
			case ext == ".d" && (ourUnit.MatchString(strings.TrimSuffix(name, ext)) || name == "service.d" || name == "socket.d"):
				for _, n := range c.list(full) {
					if strings.HasSuffix(n, ".conf") {
						unit(join(full, n))
					}
				}
			case ext == ".wants" || ext == ".requires" || ext == ".upholds":
				if c.isDir(full) {
					for _, n := range c.names(full) {
						if ourUnit.MatchString(n) {
							c.add(join(full, n), unitFile)
						}
					}
				}
			case ourUnit.MatchString(name):
				unit(full)
			case ext == ".socket" || ext == ".service":
				if text, err := c.peek(full); err == nil && len(text) < 1<<20 && ourDaemon.Match(text) {
					unit(full)
				}
			}
		}
	}
	for _, dir := range []string{"/etc", "/run", "/usr/local/lib", "/usr/lib", "/lib"} {
		for _, name := range c.list(dir + "/systemd/system-preset") {
			if strings.HasSuffix(name, ".preset") {
				c.add(dir+"/systemd/system-preset/"+name, publicFile)
			}
		}
	}
	sort.Strings(arguments)
	for _, name := range slices.Compact(arguments) {
		configured(c.add(name, argFile))
	}
}

func (c *collector) isDir(name string) bool {
	_, info, err := follow(c.fsys, name, nil)
	return err == nil && info.IsDir()
}

// names lists a directory without noting it.
func (c *collector) names(dir string) []string {
	real, _, err := follow(c.fsys, dir, nil)
	if err != nil {
		return nil
	}
	entries, _ := fs.ReadDir(c.fsys, real)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
