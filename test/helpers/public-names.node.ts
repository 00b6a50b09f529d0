import { dirname, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** One name of the public interface. */
export interface PublicName {
  /** As a user writes it: `load`, `training.Trainer`. */
  readonly name: string;
  readonly kind: 'namespace' | 'function' | 'class' | 'type' | 'value';
  /** Where it is declared, as `file:name` below src/. */
  readonly declared: string;
  readonly documented: boolean;
  /** Methods without a docstring, of a class. */
  readonly undocumentedMethods: readonly string[];
}

const source = fileURLToPath(new URL('../../src/', import.meta.url));

function compilerOptions(): ts.CompilerOptions {
  const path = fileURLToPath(new URL('../../tsconfig.json', import.meta.url));
  return ts.parseJsonConfigFileContent(ts.readConfigFile(path, ts.sys.readFile).config, ts.sys, dirname(path))
    .options;
}

/** What the entry points `node.ts` and `core.ts` export, namespaces opened, by the compiler's own account. */
export function publicNames(...entries: readonly ('node.ts' | 'core.ts')[]): PublicName[][] {
  const program = ts.createProgram({
    rootNames: entries.map((entry) => `${source}${entry}`),
    options: { ...compilerOptions(), noEmit: true },
  });
  const checker = program.getTypeChecker();

  const describe = (name: string, symbol: ts.Symbol): PublicName[] => {
    const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    if (target.flags & ts.SymbolFlags.ValueModule) {
      const inside = checker.getExportsOfModule(target).flatMap((each) => {
        return describe(`${name}.${each.name}`, each);
      });
      return [
        { name, kind: 'namespace', declared: name, documented: true, undocumentedMethods: [] },
        // Operators are a table of their own, pinned by its tests.
        ...(name.endsWith('.ops') ? [] : inside),
      ];
    }
    const [declaration] = target.getDeclarations() ?? [];
    const file = declaration ? relative(source, declaration.getSourceFile().fileName) : '';
    const isDocumented = (one: ts.Symbol) =>
      one.getDocumentationComment(checker).length > 0 || one.getJsDocTags(checker).length > 0;
    return [
      {
        name,
        kind: kindOf(target, checker),
        declared: `${file}:${target.name}`,
        documented: isDocumented(target),
        undocumentedMethods: publicMethods(target)
          .filter((method) => !isDocumented(method))
          .map((method) => method.name),
      },
    ];
  };

  return entries.map((entry) => {
    const file = program.getSourceFile(`${source}${entry}`)!;
    return checker
      .getExportsOfModule(checker.getSymbolAtLocation(file)!)
      .flatMap((symbol) => describe(symbol.name, symbol));
  });
}

function kindOf(symbol: ts.Symbol, checker: ts.TypeChecker): PublicName['kind'] {
  if (symbol.flags & ts.SymbolFlags.Class) return 'class';
  if (symbol.flags & ts.SymbolFlags.Function) return 'function';
  if (!(symbol.flags & ts.SymbolFlags.Value)) return 'type';
  return checker.getTypeOfSymbol(symbol).getCallSignatures().length > 0 ? 'function' : 'value';
}

/** Methods of a class, its own and static ones, that TypeScript lets a user call. */
function publicMethods(symbol: ts.Symbol): ts.Symbol[] {
  if (!(symbol.flags & ts.SymbolFlags.Class)) return [];
  const all = [...(symbol.members?.values() ?? []), ...(symbol.exports?.values() ?? [])];
  return all.filter((member) => {
    const [declaration] = member.getDeclarations() ?? [];
    if (!declaration || !ts.isMethodDeclaration(declaration) || ts.isPrivateIdentifier(declaration.name))
      return false;
    return !(
      ts.getCombinedModifierFlags(declaration) &
      (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)
    );
  });
}
