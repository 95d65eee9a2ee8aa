using System.Text;

namespace CampaignService.Templates;

/// <summary>One <c>{{ path | default: "text" }}</c>.</summary>
/// <param name="Position">Where its <c>{{</c> stands in the string, in UTF-16 units as C# and JavaScript count.</param>
/// <param name="Length">Up to and with its <c>}}</c>.</param>
/// <param name="Path">The variable's key, then the members to walk into.</param>
/// <param name="Fallback">What to insert when there is no value; null: none given.</param>
public sealed record Token(int Position, int Length, IReadOnlyList<string> Path, string? Fallback);

/// <summary>Finds the tokens in one string of a template's content. Linear in the length of the string.</summary>
public static class TokenParser
{
    /// <summary>Adds each token to <paramref name="tokens"/>, and each <c>{{</c> that begins none to <paramref name="faults"/>.</summary>
    public static void Parse(string text, List<Token> tokens, List<(int Position, string Message)> faults)
    {
        for (var at = 0; (at = text.IndexOf("{{", at, StringComparison.Ordinal)) >= 0;)
        {
            var reader = new Reader(text, at + 2);
            if (reader.Read(at) is { } token)
            {
                tokens.Add(token);
                at += token.Length;
            }
            else
            {
                faults.Add((at, $"malformed token: {reader.Fault}; write {{{{key}}}} or {{{{key | default: \"text\"}}}}"));
                at += 2;
            }
        }
    }

    private ref struct Reader(string text, int at)
    {
        private int _at = at;

        public string? Fault { get; private set; }

        private readonly char Current => _at < text.Length ? text[_at] : '\0';

        public Token? Read(int start)
        {
            SkipSpaces();
            if (ReadPath() is not { } path) return null;
            SkipSpaces();
            string? fallback = null;
            if (Current == '|')
            {
                _at++;
                fallback = ReadFallback();
                if (fallback is null) return null;
                SkipSpaces();
            }
            if (!text.AsSpan(_at).StartsWith("}}")) return Fail<Token>("'}}' is missing where the token should end");
            return new Token(start, _at + 2 - start, path, fallback);
        }

        private List<string>? ReadPath()
        {
            var path = new List<string>(1);
            do
            {
                if (path.Count > 0) _at++;
                var start = _at;
                if (!VariableSchema.IsKeyStart(Current)) return Fail<List<string>>("a key must begin with a letter or '_'");
                while (VariableSchema.IsKeyPart(Current)) _at++;
                path.Add(text[start.._at]);
            }
            while (Current == '.');
            return path;
        }

        private string? ReadFallback()
        {
            SkipSpaces();
            if (!text.AsSpan(_at).StartsWith("default")) return Fail<string>("after '|' only default: \"text\" is known");
            _at += "default".Length;
            SkipSpaces();
            if (Current != ':') return Fail<string>("a ':' is missing after default");
            _at++;
            SkipSpaces();
            return Current is '"' or '\'' ? ReadQuoted(Current) : Fail<string>("the text after default: must stand in quotes");
        }

        private string? ReadQuoted(char quote)
        {
            var value = new StringBuilder();
            for (_at++; _at < text.Length; _at++)
            {
                var c = text[_at];
                if (c == quote)
                {
                    _at++;
                    return value.ToString();
                }
                if (c != '\\')
                {
                    value.Append(c);
                    continue;
                }
                _at++;
                if (Current is not ('"' or '\\' or 'n')) return Fail<string>("after '\\' in quotes only '\"', '\\' and 'n' are known");
                value.Append(Current == 'n' ? '\n' : Current);
            }
            return Fail<string>($"the quote {quote} is left open");
        }

        private void SkipSpaces()
        {
            while (Current == ' ') _at++;
        }

        private T? Fail<T>(string fault) where T : class
        {
            Fault = fault;
            return null;
        }
    }
}
