import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.util.List;

/** A server in memory on a port of its own, which it prints, until standard input ends. */
public class Server {
    public static void main(String[] arguments) throws Exception {
        MemoryBackend backend = new MemoryBackend();
        backend.version(new MongoVersion() {  // it says 3.6 by itself, which the driver takes no more
            public List<Integer> getVersionArray() {
                return List.of(5, 0, 0, 0);
            }

            public int getWireVersion() {
                return 13;
            }
        });
        MongoServer server = new MongoServer(backend);
        System.out.println(server.bind().getPort());
        System.in.read();
        server.shutdownNow();
    }
}
