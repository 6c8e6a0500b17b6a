package probe

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
)

// play answers, over a pipe, each of the client's messages with the next of replies, and gives what the client sent.
func play(t testing.TB, replies ...[]byte) (*Client, func() [][]byte) {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { ours.Close(); theirs.Close() })
	var sent [][]byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		for _, r := range replies {
			var length [4]byte
			if _, err := io.ReadFull(theirs, length[:]); err != nil {
				return
			}
			n := int(length[2])<<8 | int(length[3])
			m := append(length[:], make([]byte, n-4)...)
			if _, err := io.ReadFull(theirs, m[4:]); err != nil {
				return
			}
			sent = append(sent, m)
			if _, err := theirs.Write(r); err != nil {
				return
			}
		}
	}()
	return NewClient(ours, 2*time.Second), func() [][]byte { <-done; return sent }
}

// The bytes of libvirt itself: recorded between a client and libvirtd 9.0.0 (Debian 12).
func TestTheBytesAreLibvirts(t *testing.T) {
	ctx := context.Background()
	c, sent := play(t,
		vectors.Hex(t, "00000024 20008086 00000001 00000042 00000001 00000000 00000000 00000001 00000000"),
		vectors.Hex(t, "0000001c 20008086 00000001 00000001 00000001 00000001 00000000"),
		vectors.Hex(t, "00000024 20008086 00000001 0000003b 00000001 00000002 00000000 00000002 766d0000"),
		vectors.Hex(t, "00000024 20008086 00000001 0000009d 00000001 00000003 00000000 00000000 00895440"),
		vectors.Hex(t, "0000001c 20008086 00000001 00000002 00000001 00000004 00000000"))
	types, err := c.AuthList(ctx)
	if err != nil || len(types) != 1 || types[0] != AuthNone {
		t.Fatal(types, err)
	}
	if err := c.Open(ctx, "test:///default", true); err != nil {
		t.Fatal(err)
	}
	if name, err := c.Hostname(ctx); err != nil || name != "vm" {
		t.Fatal(name, err)
	}
	if v, err := c.LibVersion(ctx); err != nil || v != "9.0.0" {
		t.Fatal(v, err)
	}
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	want := [][]byte{
		vectors.Hex(t, "0000001c 20008086 00000001 00000042 00000000 00000000 00000000"),
		vectors.Hex(t, "00000038 20008086 00000001 00000001 00000000 00000001 00000000 00000001 0000000f 746573743a2f2f2f64656661756c7400 00000001"),
		vectors.Hex(t, "0000001c 20008086 00000001 0000003b 00000000 00000002 00000000"),
		vectors.Hex(t, "0000001c 20008086 00000001 0000009d 00000000 00000003 00000000"),
		vectors.Hex(t, "0000001c 20008086 00000001 00000002 00000000 00000004 00000000"),
	}
	if diff := cmp.Diff(want, sent()); diff != "" {
		t.Errorf("-want +sent\n%s", diff)
	}
}

// message builds one from the daemon.
func message(program uint32, proc, kind int32, serial uint32, status int32, payload []byte) []byte {
	var e encoder
	e.uint32(uint32(lengthSize + headerSize + len(payload)))
	e.uint32(program)
	e.uint32(1)
	e.int32(proc)
	e.int32(kind)
	e.uint32(serial)
	e.int32(status)
	return append(e.b, payload...)
}

func remoteError(code int32, text string) []byte {
	var e encoder
	e.int32(code)
	e.int32(13)
	e.optional(&text)
	e.int32(2)
	for range 4 {
		e.uint32(0)
	}
	e.int32(-1)
	e.int32(-1)
	e.uint32(0)
	return e.b
}

func TestEventsAndPingsBeforeTheAnswerDoNotMatter(t *testing.T) {
	c, sent := play(t, bytes.Join([][]byte{
		message(programRemote, 362, typeMessage, 0, 0, []byte{0, 0, 0, 1}),
		message(programKeepalive, keepalivePing, typeMessage, 0, 0, nil),
	}, nil), message(programRemote, procAuthList, typeReply, 0, 0, make([]byte, 4)))
	types, err := c.AuthList(context.Background())
	if err != nil || len(types) != 0 {
		t.Fatal(types, err)
	}
	if got := hex.EncodeToString(sent()[1]); got != "0000001c6b65657000000001000000020000000200000000"+"00000000" {
		t.Errorf("the ping was answered with %s", got)
	}
}

func TestTheDaemonsErrorIsDecoded(t *testing.T) {
	c, _ := play(t, message(programRemote, procConnectOpen, typeReply, 0, statusError, remoteError(5, "no connection driver available for bogus:///x")))
	err := c.Open(context.Background(), "bogus:///x", false)
	var e *RemoteError
	if !errors.As(err, &e) || *e != (RemoteError{5, 13, "no connection driver available for bogus:///x"}) {
		t.Fatalf("%#v", err)
	}
}

// The words of answers that do not belong to the call are those of virsh 9.0.0, recorded over +ext.
func TestAnswersThatAreNoneAreRefusedInWords(t *testing.T) {
	reply := func(payload ...byte) []byte { return message(programRemote, procAuthList, typeReply, 0, 0, payload) }
	for _, c := range []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"a TLS record", []byte{22, 3, 1, 0, 5, 1, 2, 3}, "packet 369295612 bytes received from server too large, want 33554432"},
		{"an HTTP answer", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "packet 1213486156 bytes received from server too large, want 33554432"},
		{"an SSH banner", []byte("SSH-2.0-OpenSSH_9.2"), "packet 1397966889 bytes received from server too large, want 33554432"},
		{"the greatest length", []byte{0xff, 0xff, 0xff, 0xff}, "packet 4294967291 bytes received from server too large, want 33554432"},
		{"a length of zero", []byte{0, 0, 0, 0}, "packet 0 bytes received from server too small, want 28"},
		{"a length without a header", []byte{0, 0, 0, 27}, "packet 27 bytes received from server too small, want 28"},
		{"the end", nil, "End of file while reading data: Input/output error"},
		{"half a message", reply(0, 0, 0, 1)[:20], "End of file while reading data: Input/output error"},
		{"an answer to another procedure", message(programRemote, 1, typeReply, 0, 0, nil),
			"internal error: Unexpected message proc 1 != 66"},
		{"an answer with another serial", message(programRemote, 66, typeReply, 9, 0, nil),
			"no call waiting for reply with prog 536903814 vers 1 serial 9"},
		{"a call", message(programRemote, 66, typeCall, 0, 0, nil),
			"got unexpected RPC call prog 536903814 vers 1 proc 66 type 0"},
		{"a type that there is not", message(programRemote, 66, 9, 0, 0, nil), "got unexpected RPC call prog 536903814 vers 1 proc 66 type 9"},
		{"a piece of a stream, and the end", message(programRemote, 66, typeStream, 0, 0, nil), "End of file while reading data: Input/output error"},
		{"another program", message(7, 66, typeReply, 0, 0, nil),
			"no call waiting for reply with prog 7 vers 1 serial 0"},
		{"an unknown status", message(programRemote, 66, typeReply, 0, 2, nil), "Unexpected message status 2"},
		{"an empty payload", reply(), "undecodable answer: the payload ends early"},
		{"too many types", reply(0, 0, 0, 21), "undecodable answer: 21 authentication types are more than 20"},
		{"more types than there are", reply(0, 0, 0, 2, 0, 0, 0, 0), "undecodable answer: the payload ends early"},
		{"bytes left over", reply(0, 0, 0, 0, 1, 2, 3, 4), "undecodable answer: 4 bytes are left over"},
		{"an error that cannot be decoded", message(programRemote, 66, typeReply, 0, 1, []byte{0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0, 9}),
			"undecodable error: 9 is no boolean"},
		{"an error with a huge text", message(programRemote, 66, typeReply, 0, 1, vectors.Hex(t, "00000005 00000007 00000001 ffffffff")),
			"undecodable error: a length of 4294967295 is beyond the limit of 4194304"},
		{"nothing but events", bytes.Repeat(message(programRemote, 362, typeMessage, 0, 0, nil), maxEvents), "1000 messages came and none was the answer"},
	} {
		client, _ := play(t, c.bytes)
		_, err := client.AuthList(context.Background())
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

func TestASilentPeerIsLeftAfterTheLimit(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go io.Copy(io.Discard, theirs)
	begin := time.Now()
	_, err := NewClient(ours, 50*time.Millisecond).AuthList(context.Background())
	var s *StreamError
	if !errors.As(err, &s) || !s.Timeout() {
		t.Errorf("%v", err)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestADripIsLeftAfterTheLimit(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go io.Copy(io.Discard, theirs)
	go func() {
		for _, b := range message(programRemote, 66, typeReply, 0, 0, make([]byte, 1000)) {
			if _, err := theirs.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
	}()
	begin := time.Now()
	_, err := NewClient(ours, 100*time.Millisecond).AuthList(context.Background())
	var s *StreamError
	if !errors.As(err, &s) || !s.Timeout() {
		t.Errorf("%v", err)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
}

func TestAHugeAnnouncedLengthTakesNoMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	client, _ := play(t, append([]byte{0x02, 0, 0, 4}, make([]byte, 100)...)) // 32 MiB announced, 100 bytes sent
	if _, err := client.AuthList(context.Background()); err == nil {
		t.Fatal("it was taken for an answer")
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(message(programRemote, procAuthList, typeReply, 0, 0, []byte{0, 0, 0, 1, 0, 0, 0, 0}))
	f.Add(message(programRemote, procAuthList, typeReply, 0, 1, remoteError(1, "internal error: x")))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := NewClient(&canned{r: bytes.NewReader(b)}, time.Second)
		ctx := context.Background()
		_, err := c.AuthList(ctx)
		if err == nil && len(b) < lengthSize+headerSize+4 {
			t.Fatalf("%x is taken for an answer", b)
		}
		for _, decode := range []func(*decoder){
			func(d *decoder) { d.optional(); d.uint64(); d.bytes(maxSASLData) },
			func(d *decoder) { d.string(); d.bool() },
		} {
			d := &decoder{b: b}
			decode(d)
			_ = d.end()
		}
	})
}

// canned is a connection on which the answers lie ready.
type canned struct {
	net.Conn
	r io.Reader
}

func (c *canned) Read(b []byte) (int, error)      { return c.r.Read(b) }
func (c *canned) Write(b []byte) (int, error)     { return len(b), nil }
func (c *canned) SetDeadline(time.Time) error     { return nil }
func (c *canned) SetReadDeadline(time.Time) error { return nil }
