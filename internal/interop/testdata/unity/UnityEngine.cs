// A stand-in for what docs/recipes/unity.md uses of UnityEngine, and a scene that
// runs without a window. Every line of the input moves the player: "3 4". Spheres
// that appear, move and disappear are lines of the output.
using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Reflection;
using System.Text;
using System.Threading;
using System.Threading.Tasks;

namespace UnityEngine
{
    public struct Vector3 : IEquatable<Vector3>
    {
        public float x, y, z;
        public Vector3(float x, float y, float z) { this.x = x; this.y = y; this.z = z; }
        public static bool operator ==(Vector3 a, Vector3 b) { return a.Equals(b); }
        public static bool operator !=(Vector3 a, Vector3 b) { return !a.Equals(b); }
        public bool Equals(Vector3 o) { return x == o.x && y == o.y && z == o.z; }
        public override bool Equals(object o) { return o is Vector3 && Equals((Vector3)o); }
        public override int GetHashCode() { return x.GetHashCode() ^ y.GetHashCode(); }
    }

    public enum PrimitiveType { Sphere }

    public class Object
    {
        public static void Destroy(Object o) { Scene.Tell("gone"); }
    }

    public class Transform : Object
    {
        Vector3 at;
        readonly bool player;
        public Transform(bool player) { this.player = player; }
        public Vector3 position
        {
            get { return at; }
            set { at = value; if (!player) Scene.Tell(FormattableString.Invariant($"at {at.x} {at.y}")); }
        }
    }

    public class GameObject : Object
    {
        public Transform transform = new Transform(false);
        public static GameObject CreatePrimitive(PrimitiveType type) { Scene.Tell("new"); return new GameObject(); }
    }

    public class MonoBehaviour : Object
    {
        public Transform transform = new Transform(true);
    }

    public static class Time
    {
        public static float time { get { Scene.Demand(); return Scene.Seconds; } }
    }

    public static class Debug
    {
        public static void Log(object o) { Console.Error.WriteLine(o); }
        public static void LogWarning(object o) { Console.Error.WriteLine(o); }
    }

    // Like Unity's: fields only, unknown members are passed over, absent ones stay.
    public static class JsonUtility
    {
        public static T FromJson<T>(string text) { int at = 0; return (T)Fill(typeof(T), Read(text, ref at)); }

        static object Fill(Type type, object value)
        {
            var members = value as Dictionary<string, object>;
            if (members == null)
                return type == typeof(string) ? value as string ?? "" : Convert.ChangeType(value, type, CultureInfo.InvariantCulture);
            var made = Activator.CreateInstance(type, true);
            foreach (var f in type.GetFields())
                if (members.TryGetValue(f.Name, out var member)) f.SetValue(made, Fill(f.FieldType, member));
            return made;
        }

        static object Read(string s, ref int i)
        {
            if (s[i] == '{' || s[i] == '[')
            {
                var members = new Dictionary<string, object>();
                for (bool named = s[i++] == '{'; s[i] != '}' && s[i] != ']';)
                {
                    var name = named ? (string)Read(s, ref i) : members.Count.ToString();
                    if (named) i++; // the colon
                    members[name] = Read(s, ref i);
                    if (s[i] == ',') i++;
                }
                i++;
                return members;
            }
            int from = i;
            if (s[i] == '"')
            {
                for (i++; s[i] != '"'; i++) if (s[i] == '\\') i++;
                return s.Substring(from + 1, i++ - from - 1);
            }
            while (i < s.Length && ",]}".IndexOf(s[i]) < 0) i++;
            return s.Substring(from, i - from);
        }

        public static string ToJson(object o)
        {
            var text = new StringBuilder("{");
            foreach (var f in o.GetType().GetFields())
            {
                var v = f.GetValue(o);
                text.Append(text.Length > 1 ? "," : "").Append('"').Append(f.Name).Append("\":");
                if (v is bool) text.Append((bool)v ? "true" : "false");
                else if (v is float) text.Append(((float)v).ToString(CultureInfo.InvariantCulture));
                else if (f.FieldType == typeof(string)) text.Append('"').Append(v).Append('"');
                else text.Append(v == null ? ToJson(Activator.CreateInstance(f.FieldType, true)) : ToJson(v)); // Unity writes no null
            }
            return text.Append('}').ToString();
        }
    }

    static class Scene
    {
        static readonly Thread main = Thread.CurrentThread;
        public static float Seconds;

        // Demand fails where Unity would: off the main thread.
        public static void Demand() { if (Thread.CurrentThread != main) throw new InvalidOperationException("only on the main thread"); }
        public static void Tell(string what) { Demand(); Console.WriteLine(what); }

        static void Main(string[] args)
        {
            CultureInfo.DefaultThreadCurrentCulture = Thread.CurrentThread.CurrentCulture = new CultureInfo("de-DE");
            var player = new global::Crier { url = args[0] };
            Action<string> call = (name) => typeof(global::Crier).GetMethod(name, BindingFlags.Instance | BindingFlags.NonPublic).Invoke(player, null);
            call("Start");
            var line = Task.Run(() => Console.In.ReadLine());
            for (; ; Thread.Sleep(16), Seconds += 0.016f)
            {
                call("Update");
                if (!line.IsCompleted) continue;
                if (line.Result == null) break;
                var at = line.Result.Split(' ');
                player.transform.position = new Vector3(float.Parse(at[0], CultureInfo.InvariantCulture), float.Parse(at[1], CultureInfo.InvariantCulture), 0);
                line = Task.Run(() => Console.In.ReadLine());
            }
            call("OnDestroy");
        }
    }
}
