package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// NBDOptions say how to start a qemu-nbd.
type NBDOptions struct {
	Place
	// Dir is a QEMU TLS directory: ca-cert.pem, server-cert.pem, server-key.pem and, if there is one, ca-crl.pem.
	Dir string
	// VerifyPeer demands a client certificate.
	VerifyPeer bool
}

// NBD is a qemu-nbd that serves an empty image of 1 MiB over TLS on 127.0.0.1.
type NBD struct {
	*Process
	// Ready says that it listens. If not, Exit and Log tell why.
	Ready bool
	// Exit is the exit status of a qemu-nbd that ended while starting, else -1.
	Exit int
	Port int
}

// StartNBD starts a qemu-nbd and waits until it listens or has ended. One that refuses does not fail the test.
func StartNBD(t testing.TB, o NBDOptions) *NBD {
	t.Helper()
	Need(t, "qemu-nbd", "qemu-img")
	image := filepath.Join(Dir(t), "image")
	if err := os.WriteFile(image, make([]byte, 1<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	Own(t, filepath.Dir(image), o.User)
	n := &NBD{Exit: -1, Port: FreePort(t, "127.0.0.1")}
	n.Process = o.Start(t, "qemu-nbd", "--bind=127.0.0.1", "--port="+strconv.Itoa(n.Port), "--persistent", "--shared=0",
		"--format=raw", "--object", tlsObject(o.Dir, "server", o.VerifyPeer), "--tls-creds=tls0", image)
	n.Ready = within(20*time.Second, func() bool {
		if exit, ended := n.Wait(0); ended {
			n.Exit = exit
			return true
		}
		return listening(n.Pid(), n.Port)
	}) && n.Exit == -1
	return n
}

// tlsObject is the argument of QEMU's --object for TLS credentials.
func tlsObject(dir, endpoint string, verifyPeer bool) string {
	verify := "no"
	if verifyPeer || endpoint == "client" {
		verify = "yes"
	}
	return fmt.Sprintf("tls-creds-x509,id=tls0,endpoint=%s,dir=%s,verify-peer=%s", endpoint, dir, verify)
}

// QemuImg asks an NBD server for its image with qemu-img info, over TLS with the client credentials in dir (ca-cert.pem
// and, if there are, client-cert.pem and client-key.pem). The server's certificate is checked against host.
func (p Place) QemuImg(t testing.TB, host string, port int, dir string) Result {
	t.Helper()
	return p.Run(t, "qemu-img", "info", "--object", tlsObject(dir, "client", true), "--image-opts",
		fmt.Sprintf("driver=nbd,host=%s,port=%d,tls-creds=tls0", host, port))
}

// QemuImg is Place.QemuImg here.
func QemuImg(t testing.TB, host string, port int, dir string) Result {
	t.Helper()
	return Place{}.QemuImg(t, host, port, dir)
}
