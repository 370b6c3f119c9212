// Package derp holds our relay against the official client library. derp.test.ts starts the relay and says where it is.
package derp

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"tailscale.com/derp"
	"tailscale.com/derp/derphttp"
	"tailscale.com/disco"
	"tailscale.com/net/netmon"
	"tailscale.com/net/stun"
	"tailscale.com/net/wsconn"
	"tailscale.com/tailcfg"
	"tailscale.com/types/key"
	"tailscale.com/types/logger"
)

const patience = 5 * time.Second

// relay is what `tailplane derp --json` printed, with the port of its URL and the mesh key that it was given.
var relay = func() (r struct {
	URL      string
	Key      string
	CertName string
	StunPort int
	Port     int
	MeshKey  string
	// A stock derper that asks for admission, and the one key that is admitted.
	VerifiedURL string
	Admitted    string
	// One of our relays and a stock derper in a mesh with each other.
	OurMeshURL   string
	StockMeshURL string
}) {
	if err := json.Unmarshal([]byte(os.Getenv("TAILPLANE_TEST_RELAY")), &r); err != nil {
		panic("run by ../derp.test.ts: " + err.Error())
	}
	return r
}()

type client struct {
	*derphttp.Client
	t *testing.T
}

func connectAs(t *testing.T, k key.NodePrivate, url string, change func(*derphttp.Client)) *client {
	t.Helper()
	c, err := derphttp.NewClient(k, url, logger.Discard, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	c.SetCanAckPings(true)
	if change != nil {
		change(c)
	}
	return start(t, c)
}

func start(t *testing.T, c *derphttp.Client) *client {
	t.Helper()
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	out := &client{c, t}
	receive[derp.ServerInfoMessage](out)
	return out
}

func connect(t *testing.T) *client {
	t.Helper()
	return connectAs(t, key.NewNode(), relay.URL, nil)
}

// receive returns the next message of type M; others before it are passed over.
func receive[M derp.ReceivedMessage](c *client) M {
	c.t.Helper()
	timer := time.AfterFunc(patience, func() { c.Close() })
	defer timer.Stop()
	for {
		m, err := c.Recv()
		if err != nil {
			c.t.Fatalf("no %T: %v", *new(M), err)
		}
		if m, ok := m.(M); ok {
			return m
		}
	}
}

func (c *client) settle() {
	c.t.Helper()
	data := [8]byte{1, 2, 3, 4, 5, 6, 7, 8}
	if err := c.SendPing(data); err != nil {
		c.t.Fatal(err)
	}
	if got := receive[derp.PongMessage](c); got != derp.PongMessage(data) {
		c.t.Fatalf("pong %v", got)
	}
}

func exchange(t *testing.T, a, b *client) {
	t.Helper()
	for _, size := range []int{0, 1, 1200, derp.MaxPacketSize} {
		packet := bytes.Repeat([]byte{byte(size)}, size)
		if err := a.Send(b.SelfPublicKey(), packet); err != nil {
			t.Fatal(err)
		}
		got := receive[derp.ReceivedPacket](b)
		if got.Source != a.SelfPublicKey() || !bytes.Equal(got.Data, packet) {
			t.Fatalf("%d bytes of %v arrived instead of %d", len(got.Data), got.Source, size)
		}
	}
}

func TestSendAndReceive(t *testing.T) {
	a, b := connect(t), connect(t)
	if got := a.ServerPublicKey().String(); got != relay.Key {
		t.Errorf("the relay's key is %v, not %v", got, relay.Key)
	}
	exchange(t, a, b)
	exchange(t, b, a)
}

func TestNotePreferred(t *testing.T) {
	c := connect(t)
	c.NotePreferred(true)
	c.NotePreferred(false)
	c.settle()
}

func TestPing(t *testing.T) {
	c := connect(t)
	c.settle()
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		done <- c.Ping(ctx)
	}()
	go func() {
		for {
			if _, err := c.Recv(); err != nil {
				return
			}
		}
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestPeerGone(t *testing.T) {
	a, b := connect(t), connect(t)
	exchange(t, a, b)
	a.Close()
	if got := receive[derp.PeerGoneMessage](b); got.Peer != a.SelfPublicKey() || got.Reason != derp.PeerGoneReasonDisconnected {
		t.Errorf("%+v", got)
	}
	nobody := key.NewNode().Public()
	packet := append([]byte(disco.Magic), make([]byte, 32+24)...)
	b.Send(nobody, packet)
	if got := receive[derp.PeerGoneMessage](b); got.Peer != nobody || got.Reason != derp.PeerGoneReasonNotHere {
		t.Errorf("%+v", got)
	}
}

func TestDuplicates(t *testing.T) {
	k := key.NewNode()
	first, second, sender := connectAs(t, k, relay.URL, nil), connectAs(t, k, relay.URL, nil), connect(t)
	exchange(t, sender, second)
	first.settle() // it said something last
	exchange(t, sender, first)
	first.Close()
	for range 100 { // until the relay saw the end
		if err := sender.Send(k.Public(), []byte("to the one that remains")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if got := receive[derp.ReceivedPacket](second); string(got.Data) != "to the one that remains" {
		t.Errorf("%q", got.Data)
	}
}

func TestWebSocket(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, strings.Replace(relay.URL, "http", "ws", 1), &websocket.DialOptions{
		Subprotocols: []string{"derp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	nc := wsconn.NetConn(context.Background(), conn, websocket.MessageBinary, relay.URL)
	defer nc.Close()
	k := key.NewNode()
	c, err := derp.NewClient(k, nc, bufio.NewReadWriter(bufio.NewReader(nc), bufio.NewWriter(nc)), logger.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Recv(); err != nil { // ServerInfo
		t.Fatal(err)
	}
	other := connect(t)
	packet := bytes.Repeat([]byte("derp"), derp.MaxPacketSize/4)
	if err := other.Send(k.Public(), packet); err != nil {
		t.Fatal(err)
	}
	if m, err := c.Recv(); err != nil || !bytes.Equal(m.(derp.ReceivedPacket).Data, packet) {
		t.Fatalf("the largest packet: %T, %v", m, err)
	}
	if err := c.Send(other.SelfPublicKey(), packet); err != nil {
		t.Fatal(err)
	}
	if got := receive[derp.ReceivedPacket](other); !bytes.Equal(got.Data, packet) {
		t.Errorf("%d bytes arrived", len(got.Data))
	}
}

func TestMesh(t *testing.T) {
	before := connect(t)
	present, gone := make(chan derp.PeerPresentMessage, 10), make(chan derp.PeerGoneMessage, 10)
	mesh, err := derphttp.NewClient(key.NewNode(), relay.URL, logger.Discard, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	if mesh.MeshKey, err = key.ParseDERPMesh(relay.MeshKey); err != nil {
		t.Fatal(err)
	}
	mesh.WatchConnectionChanges = true
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); mesh.Close() })
	go mesh.RunWatchConnectionLoop(ctx, key.NodePublic{}, nil,
		func(m derp.PeerPresentMessage) { present <- m }, func(m derp.PeerGoneMessage) { gone <- m }, func(error) {})

	waitFor := func(k key.NodePublic) derp.PeerPresentMessage {
		t.Helper()
		for {
			select {
			case m := <-present:
				if m.Key == k {
					return m
				}
			case <-time.After(patience):
				t.Fatalf("%v was not told of", k)
			}
		}
	}
	if m := waitFor(before.SelfPublicKey()); !m.IPPort.Addr().IsLoopback() || m.Flags != derp.PeerPresentIsRegular {
		t.Errorf("%+v", m)
	}
	after := connect(t)
	waitFor(after.SelfPublicKey())

	away := key.NewNode().Public()
	if err := mesh.ForwardPacket(away, after.SelfPublicKey(), []byte("from another relay")); err != nil {
		t.Fatal(err)
	}
	if got := receive[derp.ReceivedPacket](after); got.Source != away || string(got.Data) != "from another relay" {
		t.Errorf("%+v", got)
	}
	if err := mesh.ClosePeer(after.SelfPublicKey()); err != nil {
		t.Fatal(err)
	}
	select {
	case m := <-gone:
		if m.Peer != after.SelfPublicKey() {
			t.Errorf("%+v", m)
		}
	case <-time.After(patience):
		t.Error("the closed peer did not go")
	}
}

// A client that learns the relay's key from the certificate chain starts without waiting for an answer to its request.
func TestTLSFastStart(t *testing.T) {
	region := &tailcfg.DERPRegion{RegionID: 999, RegionCode: "test", Nodes: []*tailcfg.DERPNode{{
		Name: "999a", RegionID: 999, HostName: "127.0.0.1", IPv4: "127.0.0.1", IPv6: "none",
		DERPPort: relay.Port, CertName: relay.CertName,
	}}}
	over := func() *client {
		return start(t, derphttp.NewRegionClient(key.NewNode(), logger.Discard, netmon.NewStatic(), func() *tailcfg.DERPRegion { return region }))
	}
	a, b := over(), over()
	state, _ := a.TLSConnectionState()
	last := state.PeerCertificates[len(state.PeerCertificates)-1]
	if want := "derpkey" + strings.TrimPrefix(relay.Key, "nodekey:"); last.Subject.CommonName != want || last.SerialNumber.Int64() != derp.ProtocolVersion {
		t.Errorf("the last certificate is of %v, serial %v", last.Subject, last.SerialNumber)
	}
	exchange(t, a, b)
	exchange(t, b, connect(t))
}

func TestSTUN(t *testing.T) {
	conn, err := net.Dial("udp", net.JoinHostPort("127.0.0.1", strconv.Itoa(relay.StunPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	id := stun.NewTxID()
	if _, err := conn.Write(stun.Request(id)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 100)
	n, err := conn.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	if gotID, at, err := stun.ParseResponse(answer[:n]); err != nil || gotID != id || at.String() != conn.LocalAddr().String() {
		t.Errorf("%v %v %v, asked from %v", gotID, at, err, conn.LocalAddr())
	}
}

func TestProbes(t *testing.T) {
	for _, path := range []string{"/derp/probe", "/derp/latency-check"} {
		response, err := http.Get(strings.TrimSuffix(relay.URL, "/derp") + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 200 || response.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %v", path, response)
		}
	}
}

// A stock derper asks our answer to its admission requests.
func TestStockRelayAsksUs(t *testing.T) {
	var admitted key.NodePrivate
	if err := admitted.UnmarshalText([]byte(relay.Admitted)); err != nil {
		t.Fatal(err)
	}
	connectAs(t, admitted, relay.VerifiedURL, nil).settle()

	stranger, err := derphttp.NewClient(key.NewNode(), relay.VerifiedURL, logger.Discard, netmon.NewStatic())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := stranger.Connect(ctx); err == nil {
		_, err = stranger.Recv()
		if err == nil {
			t.Error("a stranger was let in")
		}
	}
}

// A packet can only pass if the relay of its sender has heard from the other one who is there: each relay watches the other.
func TestStockMesh(t *testing.T) {
	ours, stocks := key.NewNode(), key.NewNode()
	a := connectAs(t, ours, relay.OurMeshURL, nil)
	b := connectAs(t, stocks, relay.StockMeshURL, nil)
	pass := func(from, to *client, sender, receiver key.NodePublic) {
		t.Helper()
		packet := []byte("from " + sender.ShortString())
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for {
				from.Send(receiver, packet)
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		}()
		// The relays may have started one before the other; each dials again after five seconds.
		timer := time.AfterFunc(3*patience, func() { to.Close() })
		defer timer.Stop()
		for {
			m, err := to.Recv()
			if err != nil {
				t.Fatalf("nothing %s: %v", packet, err)
			}
			if m, ok := m.(derp.ReceivedPacket); ok {
				if m.Source != sender || !bytes.Equal(m.Data, packet) {
					t.Fatalf("%q from %v", m.Data, m.Source)
				}
				return
			}
		}
	}
	pass(a, b, ours.Public(), stocks.Public())
	pass(b, a, stocks.Public(), ours.Public())
}
